"""Results as the study has them: measured ones, and ones that are made up to be known by hand."""

import json
from pathlib import Path

import pytest
from scipy import stats

from mnist_classification.data import Mnist, load_mnist
from mnist_classification.recipes import find_recipe
from mnist_classification.study.engines import Options, measure
from mnist_classification.study.experiments import Run
from mnist_classification.study.results import Result, in_order, save_result

ROWS = ("vanilla+num-epochs=2", "decay+num-epochs=2")


@pytest.fixture(scope="session")
def data(small_dir) -> Mnist:
    return load_mnist(small_dir)


@pytest.fixture(scope="session")
def results(data, tmp_path_factory) -> Path:
    """A folder of two rows, three seeds each, as an experiment leaves it."""
    folder = tmp_path_factory.mktemp("results") / "mine"
    for name in ROWS:
        for seed in range(3):
            run = Run(find_recipe(name), seed)
            save_result(folder / run.file_name, measure(run, data, Options()))
    return folder


def verdict_on(results) -> str:
    """Return what three seeds each say of the second row, which depends on the machine.

    By Welch's test; where it says nothing, a table goes on with what it could have shown.
    """
    before, after = (
        [
            json.loads(path.read_text())["test_accuracy"]
            for path in sorted(results.glob(f"{name}-*"))
        ]
        for name in ROWS
    )
    told = stats.ttest_ind(after, before, equal_var=False).pvalue < 0.05
    return "helps" if told else "not enough seeds to tell"


def result_with(name, seed, errors, labels, **changes) -> Result:
    """Return a result that reads so many images wrongly, the first ones."""
    digits = labels.copy()
    digits[:errors] = (digits[:errors] + 1) % 10
    accuracy = 1 - errors / len(labels)
    held = bool(changes.get("holdout"))
    facts = {
        "precision": "float32",
        "data": "",
        "holdout": 0,
        "test_accuracy": None if held else accuracy,
        "holdout_accuracy": accuracy if held else None,
        "predictions": "".join(map(str, digits)),
        "train_seconds": 1.0,
        "total_seconds": 60.0,
        "history": [],
        "environment": {"processor": "p", "threads": 1, "torch": "t"},
        "commit": "c" * 40,
        "images_seen": 1234,
        "test_precision": "float32",
    }
    return Result(recipe=find_recipe(name), seed=seed, **facts | changes)


def rows_with(labels, **errors) -> dict[str, list[Result]]:
    """Return rows of results from the numbers of errors of their seeds; "_" stands for "-"."""
    rows = {}
    for name, of_seeds in errors.items():
        for seed, count in enumerate(of_seeds):
            result = result_with(name.replace("_", "-"), seed, count, labels)
            rows.setdefault(result.row, []).append(result)
    return {row: rows[row] for row in in_order(rows)}


def cells(text, first):
    """Return the cells of the first table line that begins with that cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]
