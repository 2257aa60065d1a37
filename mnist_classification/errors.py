"""What a user can get wrong, as a small hierarchy.

Every message says what was got, what was expected and what to try. The command line prints it as
one line and exits with code 2; a program catches `MnistError`.
"""

import difflib
from collections.abc import Iterable

LONG, SHOWN = 40, 10  # names: of a longer list so many are shown


class MnistError(Exception):
    """Anything that the user can mend; the text says how."""


class DataError(MnistError):
    """A data set that is missing, damaged or not in MNIST's format."""


class RecipeError(MnistError):
    """An unknown recipe or network, or settings that make no sense."""


class ModelError(MnistError):
    """A model directory that is missing, damaged or not ours."""


class RunError(MnistError):
    """A run that can't be started, resumed, saved or finished."""


class LostProcessError(RunError):
    """A run shared among processes, of which another one ended."""


class ExperimentError(MnistError):
    """An experiment that is asked for wrongly, or some of whose runs failed."""


class PlotError(MnistError):
    """A picture that can't be drawn from what was given."""


class ResultError(MnistError):
    """A result file that is missing, damaged or of another data set or version."""


class PictureError(MnistError):
    """A picture that can't be read, or is none."""


class ServeError(MnistError):
    """A server that can't be started as it was asked for."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that `name` is no `kind`, with the nearest known name and the list, if it is not long."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    shown = known if len(known) <= LONG else [*known[:SHOWN], f"and {len(known) - SHOWN} more"]
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(shown)}"
