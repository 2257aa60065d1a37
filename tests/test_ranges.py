"""What a setting may be: its type, its choices, its range."""

import dataclasses
import math
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import pytest

from mnist_classification.errors import RecipeError
from mnist_classification.ranges import (
    BELOW_1,
    COUNT,
    FINITE,
    FROM_1,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    check,
    get_hints,
    up_to,
)
from mnist_classification.recipes import DECAY, Augment, Recipe, replace


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (COUNT, [0, 1, 10**9], [-1]),
        (FROM_1, [1, 10**9], [0, -1]),
        (FINITE, [-1e300, 0, 5], [math.inf, -math.inf, math.nan]),
        (NOT_NEGATIVE, [0, 0.1, 1e300], [-1e-9, math.inf, math.nan]),
        (POSITIVE, [1e-300, 5], [0, -1, math.inf, math.nan]),
        (BELOW_1, [0, 0.999], [1, -0.1, math.nan]),
        (SHARE, [0, 0.5, 1], [1.1, -0.1, math.nan]),
        (up_to(28), [0, 28], [29, -1, math.nan]),
    ],
    ids=lambda value: getattr(value, "expected", ""),
)
def test_ranges_hold_what_they_say(allowed, inside, outside):
    assert all(allowed.holds(value) for value in inside)
    assert not any(allowed.holds(value) for value in outside)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 32.5}, "got batch_size 32.5; expected int"),
        ({"batch_size": "32"}, "got batch_size '32'; expected int"),
        ({"batch_size": True}, "got batch_size True; expected int"),
        ({"batch_size": None}, "got batch_size None; expected int"),
        ({"learning_rate": "0.1"}, "got learning_rate '0.1'; expected float"),
        ({"network": 3}, "got network 3; expected str"),
        ({"shift_pixels": 1.5}, "got shift_pixels 1.5; expected int"),
        ({"batch_size": 0}, "got batch_size 0; expected 1 or more"),
        ({"momentum": 1.0}, "got momentum 1.0; expected 0 or more and below 1"),
        ({"pixel_mean": math.nan}, "got pixel_mean nan; expected a finite number"),
        ({"rotation_degrees": 181.0}, "got rotation_degrees 181.0; expected 0 to 180"),
        ({"shift_pixels": 29}, "got shift_pixels 29; expected 0 to 28"),
        ({"optim": "sdg"}, "unknown optim 'sdg'; did you mean 'sgd'"),
        ({"schedule": 3}, "unknown schedule '3'; known: constant, linear"),
    ],
)
def test_wrong_types_choices_and_values_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        replace(DECAY, "x", **changes)


def test_an_augmentation_is_one():
    with pytest.raises(RecipeError, match="got augment 3; expected Augment"):
        dataclasses.replace(DECAY, augment=3)


def test_a_whole_number_is_a_float_too():
    assert replace(DECAY, "x", learning_rate=1, rotation_degrees=10).learning_rate == 1


@dataclass
class Owner:
    count: Annotated[int, "how many", FROM_1] = 1
    kind: Annotated[Literal["a", "b"], "which"] = "a"


def test_any_annotated_dataclass_can_be_checked():
    check(Owner(count=2, kind="b"))
    with pytest.raises(RecipeError, match="got count 0; expected 1 or more"):
        check(Owner(count=0))
    with pytest.raises(RecipeError, match="unknown kind 'c'; known: a, b"):
        check(Owner(kind="c"))


@pytest.mark.parametrize("owner", [Recipe, Augment])
def test_every_setting_has_a_type_and_a_meaning(owner):
    hints = get_hints(owner)
    assert list(hints) == [field.name for field in fields(owner)]
    for field, hint in hints.items():
        assert isinstance(hint.__metadata__[0], str), field
        numeric = hint.__origin__ in (int, float)
        assert len(hint.__metadata__) == (2 if numeric else 1), field  # every number has a range
