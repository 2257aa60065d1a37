"""What a setting may be, said in its annotation and checked in one loop.

    momentum: Annotated[float, "share of the last step kept", BELOW_1] = 0.9

The first part of an annotation is the type, the second the help text of the flag, the third, where
there is one, the range.
"""

import functools
import math
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import RecipeError, unknown


class Range(NamedTuple):
    """The values that a setting may have, in words and as a test."""

    expected: str
    holds: Callable[[float], bool]


def up_to(high: int) -> Range:
    """Return the range from 0 to `high`, both allowed."""
    return Range(f"0 to {high}", lambda value: 0 <= value <= high)


COUNT = Range("0 or more, below 2^31", lambda value: 0 <= value < 2**31)
FROM_1 = Range("1 or more, below 2^31", lambda value: 1 <= value < 2**31)
FINITE = Range("a finite number", math.isfinite)
NOT_NEGATIVE = Range("a finite number, 0 or more", lambda value: 0 <= value < math.inf)
POSITIVE = Range("a finite number above 0", lambda value: 0 < value < math.inf)
BELOW_1 = Range("0 or more and below 1", lambda value: 0 <= value < 1)
SHARE = up_to(1)

# Settings that do nothing while another has that value.
IDLE: dict[str, tuple[str, str | float]] = {
    "adam_beta2": ("optim", "sgd"),
    "sampling": ("images_per_epoch", 0),
    "unsure_moves": ("unsure_margin", 0),
}


def check(owner: object) -> None:
    """Hold each setting of a recipe against its annotation: the type, and the choices or range.

    Raises:
        RecipeError: names the setting, its value and what is expected.
    """
    for field, hint in get_hints(type(owner)).items():  # type: ignore[arg-type]
        kind, value = hint.__origin__, getattr(owner, field)
        if choices := typing.get_args(kind):
            if value not in choices:
                raise RecipeError(unknown(field, str(value), choices))
        elif not isinstance(value, (int, float) if kind is float else kind) or value is True:
            raise RecipeError(f"got {field} {value!r}; expected {kind.__name__}")
        for allowed in hint.__metadata__[1:]:
            if not allowed.holds(value):
                raise RecipeError(f"got {field} {value}; expected {allowed.expected}")


def check_effects(owner: type, different: dict[str, Any], current: dict[str, Any]) -> None:
    """Refuse changes that do nothing, which would be the same recipe under another name.

    A change of the other setting may leave one idle, as any recipe's default is.

    Args:
        owner: of the settings, with their defaults.
        different: settings that are not a named recipe's.
        current: all settings.

    Raises:
        RecipeError: names such a setting and the one that makes it idle.
    """
    for field, (other, value) in IDLE.items():
        if field in different and current[other] == value and current[field] != vars(owner)[field]:
            raise RecipeError(
                f"got {field} {current[field]} with {other} {value}, where it does nothing; "
                f"expected another {other}"
            )


@functools.cache
def get_hints(owner: Any) -> dict[str, Any]:
    """Return a dataclass's annotations by field."""
    return typing.get_type_hints(owner, include_extras=True)
