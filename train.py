#!/usr/bin/env python3
"""Train a network on MNIST: python3 train.py --num-epochs 10 --learning-rate 0.001 --batch-size 32.

This is `mnist train`; `python3 train.py --help` lists the flags.
"""

import sys

from mnist_classification.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
