"""Types of the benchmarks' flags."""

from argparse import ArgumentTypeError


def positive(text: str) -> int:
    """Return a whole number of 1 or more.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"got {text!r}; expected a whole number of 1 or more")
    return int(text)
