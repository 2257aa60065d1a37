#!/usr/bin/env python3
"""Draw test images by t-SNE, before and after training: python3 visualize_classes.py.

This is `mnist visualize tsne`; `python3 visualize_classes.py --help` lists the flags.
"""

import sys

from mnist_classification.cli import main

if __name__ == "__main__":
    main(["visualize", "tsne", *sys.argv[1:]])
