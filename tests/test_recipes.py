import dataclasses
import itertools
import json

import pytest
from conftest import run_python

from mnist_classification.errors import RecipeError
from mnist_classification.recipes import (
    FAILED_IDEAS,
    LADDER,
    RECIPES,
    Augment,
    find_recipe,
    recipe_from_dict,
    replace,
    settings,
    with_changes,
)


def changes(before, after):
    return {k for k, v in settings(after).items() if settings(before)[k] != v}


def test_each_row_of_the_ladder_is_the_one_above_with_one_change():
    names = [recipe.name for recipe in LADDER]
    assert names == [
        *["baseline", "vanilla", "normalization", "batch-64", "batch-32"],
        *["lr-0.0005", "deeper", "sgd", "decay"],
    ]
    steps = [changes(above, row) for above, row in itertools.pairwise(LADDER)]
    assert steps == [
        {"num_epochs"},
        {"pixel_mean", "pixel_std"},
        {"batch_size"},
        {"batch_size"},
        {"learning_rate"},
        {"network"},
        {"optim", "learning_rate"},
        {"schedule"},
    ]


def test_documented_flags_are_those_of_the_last_rows():
    for name in ("sgd", "decay"):
        recipe = RECIPES[name]
        assert (recipe.num_epochs, recipe.learning_rate, recipe.batch_size) == (10, 0.001, 32)
        assert (recipe.optim, recipe.momentum, recipe.loss_reduction) == ("sgd", 0.9, "sum")


def test_each_failed_idea_is_one_change_to_its_base():
    assert len(FAILED_IDEAS) == 14
    for recipe in FAILED_IDEAS:
        base = RECIPES[recipe.name.split("-")[0]]
        assert len(changes(base, recipe)) == 1, recipe.name


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipe_survives_json(recipe):
    assert recipe_from_dict(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


def test_changes_are_named_and_typed():
    recipe = find_recipe("sgd+rotation-degrees=10+batch-size=8")
    assert recipe.name == "sgd+batch-size=8+rotation-degrees=10.0"
    assert (recipe.batch_size, recipe.augment.rotation_degrees) == (8, 10.0)
    assert find_recipe("sgd+batch-size=32") == RECIPES["sgd"]  # no change, no new name


def test_a_change_of_a_change_is_named_after_what_it_is():
    eight = find_recipe("sgd+batch-size=8")
    assert with_changes(eight, {"batch_size": 32}) == RECIPES["sgd"]
    both = with_changes(eight, {"shear": 0.1})
    assert both == find_recipe("sgd+batch-size=8+shear=0.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sdg", "unknown recipe 'sdg'; did you mean 'sgd'"),
        ("sgd+batchsize=8", "unknown setting 'batchsize'; did you mean 'batch_size'"),
        ("sgd+batch-size", "got 'batch-size'.*expected field=value"),
        ("sgd+batch-size=many", "got batch_size 'many'; expected int, such as 32"),
        ("sgd+batch-size=0", "got batch_size 0; expected 1 or more"),
        ("sgd+num-epochs=-1", "got num_epochs -1"),
        ("sgd+learning-rate=0", "got learning_rate 0.0"),
        ("sgd+learning-rate=nan", "got learning_rate nan"),
        ("sgd+momentum=1", "got momentum 1.0"),
        ("sgd+pixel-std=0", "got pixel_std 0.0"),
        ("sgd+whitening-images=-1", "got whitening_images -1; expected 0 or more"),
        ("sgd+optim=sdg", "unknown optim 'sdg'; did you mean 'sgd'"),
        ("sgd+schedule=cosine", "unknown schedule 'cosine'"),
        ("sgd+flip-probability=2", "got flip_probability 2.0; expected 0 to 1"),
        ("sgd+name=x", "unknown setting 'name'"),
        ("sgd+adam-beta2=0.9", "got adam_beta2 0.9 with optim sgd, where it does nothing"),
        ("decay+sampling=importance", "got sampling importance with images_per_epoch 0, where"),
        ("decay+unsure-moves=8", "got unsure_moves 8 with unsure_margin 0, where"),
    ],
)
def test_wrong_recipes_are_refused_in_words(text, message):
    with pytest.raises(RecipeError, match=message):
        find_recipe(text)


def test_a_change_may_leave_a_named_recipes_setting_idle():
    for change in ("optim=sgd", "images-per-epoch=0", "unsure-margin=0"):
        find_recipe(f"four-epochs+{change}")
    find_recipe("four-epochs+images-per-epoch=0+sampling=uniform")  # its default
    find_recipe("decay+images-per-epoch=1000+sampling=importance")


@pytest.mark.parametrize("fields", [{}, {"surprise": 1}, {"batch_size": "x"}, {"augment": 3}])
def test_foreign_json_is_no_recipe(fields):
    whole = dataclasses.asdict(RECIPES["sgd"])
    with pytest.raises(RecipeError):
        recipe_from_dict(whole | fields if fields else {})


def test_recipes_need_no_torch():
    result = run_python("import sys, mnist_classification.recipes; print('torch' in sys.modules)")
    assert result.stdout == "False\n", result.stderr


def test_replace_takes_a_whole_augmentation_too():
    recipe = replace(RECIPES["sgd"], "mine", augment=Augment(shear=0.5), shift_pixels=2)
    assert recipe.augment == Augment(shear=0.5, shift_pixels=2)


def test_replace_reaches_into_augment():
    recipe = replace(RECIPES["sgd"], "mine", shift_pixels=2, batch_size=64)
    assert (recipe.augment.shift_pixels, recipe.batch_size) == (2, 64)
