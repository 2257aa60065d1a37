"""One run's outcome as one JSON file, all in one pool: results/runs/<row>-seed<seed>.json.

    result = load_result(Path("results/runs/sgd-seed0.json"), data)
    print(result.accuracy)

A row is what runs that differ only in their seed share, and its name says all of it:
decay+holdout=10000+fold=5+precision=bfloat16. Float32 and no hold-out go without saying.

The file holds every predicted digit, so that whatever else is asked of a run later, an interval or
a comparison, is computed and never stored.
"""

import dataclasses
import json
import math
import os
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Mnist
from ..errors import RecipeError, ResultError, unknown
from ..files import write_atomically
from ..recipes import RECIPES, Recipe, recipe_from_dict

VERSION = 1
ENVIRONMENT = ("processor", "threads", "torch")  # what tables say of it
METRICS = "metrics.jsonl"  # of a run: a record of each epoch
RECORD = ("train_loss", "train_accuracy")  # what pictures show of an epoch


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one run measured, and everything that decided it.

    Attributes:
        row: the recipe's name, with what else sets its runs apart from others.
        precision: of training; test_precision: of the predictions.
        data: `Mnist.fingerprint`; holdout, fold: how many training images were set aside, and
            which block of them.
        images_seen: how often an image was learned from, over all epochs.
        test_accuracy, holdout_accuracy: 0 to 1; None where not measured. A run with a hold-out
            is there to choose by, so that its test accuracy is never measured.
        predictions: the predicted digit of each image of the test set, or of the hold-out where
            there is one, as one string.
        log_loss: the mean of -log p of their labels, p as the network gave it; None in files
            from before it was measured.
        train_seconds: the epochs alone; with, of all but the last, its look at the hold-out and its
            checkpoint, where there are such.
        total_seconds: building, preparing the arrays, training and the test pass; with
            `--checkpoints` writing those, too.
        environment: versions, processor, threads. commit: of the project's repository, if any.
    """

    recipe: Recipe
    seed: int
    precision: str
    data: str
    holdout: int
    test_accuracy: float | None
    holdout_accuracy: float | None
    predictions: str
    train_seconds: float
    total_seconds: float
    history: list[dict[str, Any]]
    environment: dict[str, Any]
    commit: str | None
    images_seen: int
    test_precision: str
    fold: int | None = None
    log_loss: float | None = None
    pretrained_weights: str | None = None  # SHA-256 of the file that the network started from

    @property
    def row(self) -> str:
        """The name under which runs that differ only in their seed are gathered."""
        pretrained = self.pretrained_weights is not None
        return row_name(self.recipe, self.precision, self.holdout, self.fold, pretrained)

    @property
    def accuracy(self) -> float:
        """What the run is judged by: on the hold-out where there is one, else on the test set."""
        accuracy = self.holdout_accuracy if self.holdout else self.test_accuracy
        return math.nan if accuracy is None else accuracy

    @property
    def digits(self) -> np.ndarray:
        """The predictions as (N,) uint8."""
        return np.frombuffer(self.predictions.encode(), np.uint8) - ord("0")

    def labels(self, data: Mnist) -> np.ndarray:
        """Return the labels that the predictions are held against, (N,) uint8."""
        if not self.holdout:
            return data.test.labels
        return data.train.labels[self.block]

    @property
    def block(self) -> slice:
        """Where the images of its hold-out lie in the training set."""
        first = (self.fold or 0) * self.holdout
        return slice(first, first + self.holdout)


def row_name(
    recipe: Recipe, precision: str, holdout: int, fold: int | None, pretrained: bool
) -> str:
    """Return the recipe's name, with what else sets its runs apart from others."""
    parts = [recipe.name, "pretrained" if pretrained else ""]
    parts += [f"holdout={holdout}+fold={fold}" if holdout else ""]
    parts += [f"precision={precision}" if precision != "float32" else ""]
    return "+".join(part for part in parts if part)


def file_name(row: str, seed: int) -> str:
    """Return the name of the file that holds one run's result."""
    return f"{row}-seed{seed}.json"


def save_result(path: Path, result: Result) -> None:
    """Write the result whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": VERSION} | dataclasses.asdict(result)
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def load_result(path: Path, data: Mnist) -> Result:
    """Read one result and check that it is what it says.

    Args:
        data: the data set on which it was measured, nothing set aside.

    Raises:
        ResultError: damaged, of another version or of another data set.
    """
    advice = "move the file away and run the experiment again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("version")
        if version != VERSION:
            raise ResultError(f"{path}: result of version {version}; expected {VERSION}; {advice}")
        result = Result(**content | {"recipe": recipe_from_dict(content["recipe"])})
        _check_types(result)
        if result.data != data.fingerprint:
            raise ResultError(
                f"{path}: measured on another data set (fingerprint {result.data[:12]}, expected "
                f"{data.fingerprint[:12]}); give its folder by --data-dir, or {advice}"
            )
        if path.name != file_name(result.row, result.seed):
            raise ResultError(
                f"{path}: holds seed {result.seed} of {result.row}; expected what its name says; "
                f"{advice}"
            )
        labels = result.labels(data)
        if len(result.digits) != len(labels) or not math.isclose(
            float((result.digits == labels).mean()), result.accuracy, abs_tol=1e-9
        ):
            raise ResultError(f"{path}: its predictions don't give its accuracy; {advice}")
    except OSError as error:
        raise ResultError(f"{path}: can't be read: {error.strerror}") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
        RecipeError,
    ) as error:
        raise ResultError(f"{path}: damaged: {error}; {advice}") from None
    return result


def _check_types(result: Result) -> None:
    """Refuse a result whose fields are not what the class says.

    Raises:
        ValueError: names the field.
    """
    for field, hint in typing.get_type_hints(Result).items():
        value, parts = getattr(result, field), typing.get_args(hint)
        kinds = parts if isinstance(hint, types.UnionType) else (typing.get_origin(hint) or hint,)
        number = float in kinds and type(value) is int and math.isfinite(value)
        if type(value) not in kinds and not number:
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"got {field} {str(value)[:40]!r}; expected {expected}")
    if not set(ENVIRONMENT) <= result.environment.keys():
        raise ValueError(f"got environment {[*result.environment]}; expected {[*ENVIRONMENT]}")
    _check_history(result.history)


def _check_history(history: list[Any]) -> None:
    """Refuse records of epochs that do not say how training went.

    Raises:
        ValueError: there is one.
    """
    for record in history:
        if not isinstance(record, dict) or not all(
            isinstance(record.get(key), int | float) for key in RECORD
        ):
            raise ValueError(f"got a record {str(record)[:40]!r}; expected {', '.join(RECORD)}")


def decided_by(result: Result) -> tuple[Recipe, str | None]:
    """Return what the runs of a row have in common, however their recipe is called."""
    return result.recipe, result.pretrained_weights


def load_results(paths: Iterable[Path], data: Mnist) -> dict[str, list[Result]]:
    """Read results, by row in the recipes' order, each row ordered by seed.

    Raises:
        ResultError: one of them is not right, or is of another recipe than its row.
    """
    rows: dict[str, list[Result]] = {}
    for path in paths:
        result = load_result(path, data)
        row = rows.setdefault(result.row, [])
        if row and decided_by(row[0]) != decided_by(result):
            raise ResultError(
                f"{path}: was measured with another recipe of that name, or other pretrained "
                f"weights, than seed {row[0].seed}; move one of them away"
            )
        row.append(result)
    return {row: sorted(rows[row], key=lambda r: r.seed) for row in in_order(rows)}


def list_results(directory: Path, row: str = "*") -> list[Path]:
    """Return the result files of a row, or of all, in a folder; none of what is no folder."""
    if not os.path.isdir(directory):  # noqa: PTH112 - a name too long is none
        return []
    return sorted(directory.glob(f"{row}-seed*.json"))


def find_results(directory: Path) -> list[Path]:
    """Return all result files in a folder.

    Raises:
        ResultError: there are none.
    """
    paths = list_results(directory)
    if not paths:
        raise ResultError(f"{directory}: no results here; expected what `mnist experiment` wrote")
    return paths


def in_order(rows: Iterable[str]) -> list[str]:
    """Return row names in the order of the recipes behind them; unknown ones last."""
    place = {name: i for i, name in enumerate(RECIPES)}

    def key(row: str) -> tuple[int, int, str, str]:
        recipe = re.sub(r"\+(pretrained|(holdout|fold|precision)=[^+]*)", "", row)
        name, *changes = recipe.split("+")
        return place.get(name, len(place)), len(changes), recipe, row  # the least changed first

    return sorted(rows, key=key)


def short_commit(commit: str) -> str:
    """Return the beginning of a result's commit, with the "+" that says that there were changes."""
    return commit[:10] + "+" * commit.endswith("+")


def load_row(path: Path, data: Mnist) -> list[Result]:
    """Read the results of one row, named as a path: results/runs/sgd.

    Raises:
        ResultError: there are none, or one of them is not right.
    """
    paths: dict[str, list[Path]] = {}
    for found in find_results(path.parent):
        paths.setdefault(re.sub(r"-seed\d+$", "", found.stem), []).append(found)
    if path.name not in paths:
        raise ResultError(f"{path}: {unknown('row', path.name, in_order(paths))}")
    return load_results(paths[path.name], data)[path.name]


def is_run(directory: Path) -> bool:
    """Say whether this is what `mnist train` wrote, or writes."""
    return os.path.exists(directory / METRICS)  # noqa: PTH110 - a name too long is none


def load_histories(directory: Path, data: Mnist) -> dict[str, list[list[dict[str, Any]]]]:
    """Read the history of one run, or those of every result in a folder, by row.

    Args:
        directory: what `mnist train` or `mnist experiment` wrote; a run may be unfinished.

    Raises:
        ResultError: it is neither, or a file in it is not right.
    """
    metrics = directory / METRICS
    if not is_run(directory):
        if not list_results(directory):
            raise ResultError(
                f"{directory}: neither a run nor results here; expected what `mnist train` or "
                f"`mnist experiment` wrote"
            )
        rows = load_results(find_results(directory), data)
        return {row: [result.history for result in results] for row, results in rows.items()}
    try:
        history = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{metrics}: damaged: {error}; train again") from None
    try:
        _check_history(history)
    except ValueError:
        raise ResultError(
            f"{metrics}: no accuracies here; expected what `mnist train` wrote"
        ) from None
    return {re.sub(r"-seed\d+$", "", directory.name): [history]}
