"""Which runs an experiment asks for, and which files answer it."""

from pathlib import Path

import pytest
from conftest import ROOT

from mnist_classification.errors import ExperimentError, ResultError
from mnist_classification.recipes import FRONTIER, RECIPES, find_recipe, settings
from mnist_classification.study.experiments import (
    EXPERIMENTS,
    Row,
    Run,
    choose_runs,
    parse_numbers,
)
from mnist_classification.study.results import file_name, save_result
from mnist_classification.study.tables import report

from .conftest import result_with


def test_named_experiments_have_the_seeds_that_were_declared():
    seeds = {
        name: {(row.recipe, row.precision, row.fold): list(row.seeds) for row in experiment.rows}
        for name, experiment in EXPERIMENTS.items()
    }
    for name in ("ladder", "failed-ideas"):
        for (recipe, precision, _), numbers in seeds[name].items():
            assert precision == ("float32" if name == "ladder" else "bfloat16")
            many = 10 if recipe in ("sgd", "decay") else 3 if "num-epochs=1" in recipe else 5
            assert numbers == list(range(many)), recipe
    assert len(seeds["ladder"]) == 9
    assert len(seeds["failed-ideas"]) == 2 + 12 + 2
    assert [recipe for recipe, _, _ in seeds["frontier"]] == [recipe.name for recipe in FRONTIER]
    assert all(numbers == list(range(10)) for numbers in seeds["frontier"].values())
    assert {fold for _, _, fold in seeds["frontier-folds"]} == {1, 3, 5}
    assert {precision for _, precision, _ in seeds["precision"]} == {"float32", "bfloat16"}


def test_seven_epochs_is_what_its_experiment_measured():
    (measured,) = {row.recipe for row in EXPERIMENTS["committees-late-pooled"].rows}
    assert settings(find_recipe(measured)) == settings(find_recipe("seven-epochs"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_recipes_that_exist_and_no_run_twice(name):
    runs = EXPERIMENTS[name].runs()
    assert len(set(runs)) == len(runs) == sum(len(row.seeds) for row in EXPERIMENTS[name].rows)
    assert len({run.file_name for run in runs}) == len(runs)
    assert {run.recipe.name.split("+")[0] for run in runs} <= set(RECIPES)


def test_every_rows_first_seed_comes_before_any_second():
    runs = EXPERIMENTS["ladder"].runs()
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert [run.row for run in runs[:9]] == [row.recipe for row in EXPERIMENTS["ladder"].rows]


def test_a_runs_name_says_all_that_sets_it_apart():
    decay = find_recipe("decay")
    assert Run(decay, 3).file_name == "decay-seed3.json"
    assert Run(decay, 3, "bfloat16").file_name == "decay+precision=bfloat16-seed3.json"
    held = Run(decay, 3, "bfloat16", 10_000, 5)
    assert held.row == "decay+holdout=10000+fold=5+precision=bfloat16"
    weights = Run(decay, 3, pretrained_weights=Path("weights"))
    assert weights.row == "decay+pretrained"


@pytest.mark.parametrize("options", [{"recipes": "sgd", "seeds": "0"}, {}])
def test_pretrained_weights_that_no_run_starts_from_are_refused(options):
    name = "run" if options else "ladder"
    with pytest.raises(ExperimentError, match="no run with the network alexnet"):
        choose_runs(name, **options, pretrained_weights=Path("weights"))


def test_pretrained_weights_are_for_alexnet_alone():
    runs = EXPERIMENTS["failed-ideas"].runs(Path("weights"))
    assert {run.recipe.network for run in runs if run.pretrained_weights} == {"alexnet"}
    assert all(run.pretrained_weights for run in runs if run.recipe.network == "alexnet")


def test_a_row_is_answered_by_the_files_of_its_seeds(tmp_path):
    for name in (
        *("decay-seed0", "decay-seed1", "decay-seed7", "decay+precision=bfloat16-seed0"),
        *("decay+holdout=100+fold=2-seed0", "decay+pretrained-seed0", "sgd-seed0"),
    ):
        (tmp_path / f"{name}.json").touch()

    def found(*row, of="float32"):
        return [path.stem for path in Row(*row).paths(tmp_path, of)]

    assert found("decay", range(3)) == ["decay-seed0", "decay-seed1", "decay+pretrained-seed0"]
    assert found("decay", [0], "bfloat16") == ["decay+precision=bfloat16-seed0"]
    assert found("decay", [7, 0], "auto", of="bfloat16") == ["decay+precision=bfloat16-seed0"]
    assert found("decay", [7, 1], "auto") == ["decay-seed7", "decay-seed1"]
    assert found("decay", [0], "float32", 100, 2) == ["decay+holdout=100+fold=2-seed0"]
    assert found("decay", [0], "float32", 100, 1) == []


def test_an_experiment_takes_its_own_rows_from_a_pool_of_all(results, data, mnist):
    with pytest.raises(ResultError, match="no results of this experiment here"):
        EXPERIMENTS["ladder"].load(results, data)
    rows = EXPERIMENTS["ladder"].load(ROOT / "results" / "runs", mnist)
    assert list(rows) == [row.recipe for row in EXPERIMENTS["ladder"].rows]
    assert [len(runs) for runs in rows.values()] == [5] * 7 + [10] * 2


def test_runs_of_ones_own_are_all_recipes_and_seeds():
    runs, timed = choose_runs("run", recipes="sgd,decay+batch-size=8", seeds="0,2-3")
    assert [(run.recipe.name, run.seed) for run in runs] == [
        *[("sgd", 0), ("sgd", 2), ("sgd", 3)],
        *[("decay+batch-size=8", 0), ("decay+batch-size=8", 2), ("decay+batch-size=8", 3)],
    ]
    assert {(run.precision, run.holdout, run.fold) for run in runs} == {("float32", 0, None)}
    assert not timed


def test_runs_of_ones_own_may_have_blocks_and_a_precision():
    runs, _ = choose_runs(
        "run", recipes="sgd", seeds="1", precision="bfloat16", holdout=100, folds="0,4"
    )
    assert [(run.precision, run.holdout, run.fold) for run in runs] == [
        ("bfloat16", 100, 0),
        ("bfloat16", 100, 4),
    ]
    (run,) = choose_runs("run", recipes="sgd", seeds="1", holdout=100)[0]
    assert (run.holdout, run.fold) == (100, None)  # the last, once the data set is known


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_named_experiment_gives_its_own_runs(name):
    runs, timed = choose_runs(name)
    assert (runs, timed) == (EXPERIMENTS[name].runs(), EXPERIMENTS[name].timed)
    others, _ = choose_runs(name, precision="bfloat16")
    assert {run.precision for run in others} == {"bfloat16"}
    assert [run.recipe for run in others] == [run.recipe for run in runs]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("laddder", {}, "unknown experiment 'laddder'; did you mean 'ladder'"),
        ("run", {}, "expected --recipes and --seeds"),
        ("run", {"recipes": "sgd"}, "expected --recipes and --seeds"),
        ("run", {"seeds": "0"}, "expected --recipes and --seeds"),
        ("run", {"recipes": "sgd", "seeds": "0", "folds": "1"}, "got --folds without a hold-out"),
        ("run", {"recipes": "sgd", "seeds": "x"}, "got seeds 'x'"),
        ("ladder", {"seeds": "0"}, "ladder has its own recipes.*mnist experiment run"),
        ("ladder", {"recipes": "sgd"}, "mnist experiment run"),
        ("ladder", {"holdout": 100}, "mnist experiment run"),
        ("ladder", {"folds": "0"}, "mnist experiment run"),
    ],
)
def test_what_makes_no_sense_is_refused(name, options, message):
    with pytest.raises(ExperimentError, match=message):
        choose_runs(name, **options)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("0-3", [0, 1, 2, 3]), ("1,5,8-9", [1, 5, 8, 9]), ("2,0-2", [2, 0, 1])],
)
def test_numbers_are_single_ones_and_ranges(text, seeds):
    assert parse_numbers("seeds", text) == seeds


@pytest.mark.parametrize("text", ["a-b", "", "1-", "-1", "3-1", "1-2-3", "1.5", "0x1"])
def test_wrong_numbers_are_refused(text):
    with pytest.raises(ExperimentError, match="got seeds"):
        parse_numbers("seeds", text)


def test_a_precision_that_is_asked_for_is_obeyed():
    runs, timed = choose_runs("frontier", precision="float32")
    assert timed
    assert {run.precision for run in runs} == {"float32"}
    assert {run.precision for run in choose_runs("frontier")[0]} == {"auto"}


@pytest.fixture
def add(mnist, tmp_path):
    """Put a result into the pool `tmp_path`."""

    def add(name, seed, precision):
        labels, facts = mnist.test.labels, {"precision": precision, "data": mnist.fingerprint}
        result = result_with(name, seed, 10, labels, **facts)
        save_result(tmp_path / file_name(result.row, seed), result)

    return add


def test_results_in_another_precision_than_declared_can_be_reported(add, mnist, tmp_path):
    add("decay", 0, "bfloat16")
    assert list(EXPERIMENTS["ladder"].load(tmp_path, mnist)) == ["decay+precision=bfloat16"]
    rows = EXPERIMENTS["ladder"].load(tmp_path, mnist)
    for tables in (EXPERIMENTS["ladder"].tables, EXPERIMENTS["ladder"].short):
        assert "decay" in report(tables, rows, mnist).split("<details>")[0]
    add("vanilla", 0, "float32")  # as declared
    assert list(EXPERIMENTS["ladder"].load(tmp_path, mnist)) == ["vanilla"]


def test_a_table_has_one_precision_that_of_more_runs(add, mnist, tmp_path):
    def rows():
        return list(EXPERIMENTS["frontier"].load(tmp_path, mnist))

    add("half-epoch", 0, "float32")
    add("half-epoch", 1, "float32")
    assert rows() == ["half-epoch"]
    add("two-epochs", 0, "bfloat16")
    assert rows() == ["half-epoch"]
    add("three-epochs", 0, "bfloat16")  # as many: the faster
    assert rows() == ["two-epochs+precision=bfloat16", "three-epochs+precision=bfloat16"]
