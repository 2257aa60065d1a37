"""Run the `mnist` command as `python3 -m mnist_classification`."""

from .cli import main

if __name__ == "__main__":
    main()
