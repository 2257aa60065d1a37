"""A run's outcome as a file: what it holds, and that it is refused when it is not right."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mnist_classification.errors import ResultError
from mnist_classification.recipes import find_recipe
from mnist_classification.study.results import (
    find_results,
    in_order,
    load_histories,
    load_result,
    load_results,
    load_row,
    row_name,
    save_result,
)

from .conftest import ROWS, result_with


def test_a_row_is_named_by_all_that_its_runs_share():
    decay = find_recipe("decay")
    assert row_name(decay, "float32", 0, None, False) == "decay"
    assert row_name(decay, "bfloat16", 10_000, 5, True) == (
        "decay+pretrained+holdout=10000+fold=5+precision=bfloat16"
    )


def test_a_result_survives_the_disk(data, tmp_path):
    result = result_with("decay", 3, 7, data.test.labels, data=data.fingerprint)
    save_result(tmp_path / "new" / "decay-seed3.json", result)
    assert load_result(tmp_path / "new" / "decay-seed3.json", data) == result


def test_a_result_on_a_holdout_is_judged_by_its_block(data, tmp_path):
    block = data.train.labels[200:300]
    result = result_with("decay", 0, 9, block, data=data.fingerprint, holdout=100, fold=2)
    path = tmp_path / "decay+holdout=100+fold=2-seed0.json"
    save_result(path, result)
    loaded = load_result(path, data)
    assert loaded.accuracy == loaded.holdout_accuracy == 0.91
    np.testing.assert_array_equal(loaded.labels(data), block)
    # The same predictions do not fit another block.
    other = json.loads(path.read_text()) | {"fold": 1}
    path = tmp_path / "decay+holdout=100+fold=1-seed0.json"
    path.write_text(json.dumps(other))
    with pytest.raises(ResultError, match="its predictions don't give its accuracy"):
        load_result(path, data)


def replaced(old, new):
    def change(text):
        assert old in text
        return text.replace(old, new)

    return change


def edited(text, **fields):
    return json.dumps(json.loads(text) | fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:500], "damaged"),
        (lambda text: f"[{text}]", "damaged"),
        (lambda text: "\x80" + text, "damaged"),
        (replaced('"version": 1', '"version": 2'), "version 2; expected 1"),
        (replaced('"data": "', '"data": "0'), "another data set"),
        (replaced('"batch_size"', '"batchsize"'), "damaged"),
        (replaced('"predictions": "', '"predictions": "77777'), "predictions"),
        (replaced('"test_accuracy": 0.', '"test_accuracy": 0.0'), "predictions"),
        (replaced('"seed"', '"sead"'), "damaged"),
        (lambda _text: 100_000 * "[", "damaged"),
        (lambda text: edited(text, total_seconds=10**400), "damaged: int too large"),
        (lambda text: edited(text, total_seconds="x"), "got total_seconds 'x'; expected float"),
        (lambda text: edited(text, commit=5), "got commit '5'; expected str or NoneType"),
        (lambda text: edited(text, seed=True), "got seed 'True'; expected int"),
        (lambda text: edited(text, environment={"torch": ""}), "expected .*'processor'"),
        (lambda text: edited(text, history=[{"epoch": 1}]), "expected train_loss, train_accuracy"),
        (replaced('"seed": 0', '"seed": 1'), "expected what its name says"),
        (replaced('"precision": "float32"', '"precision": "bfloat16"'), "expected what its name"),
    ],
)
def test_wrong_result_files_get_one_line(results, data, tmp_path, change, message):
    name = "decay+num-epochs=2-seed0.json"
    (tmp_path / name).write_text(change((results / name).read_text()))
    with pytest.raises(ResultError, match=message) as error:
        load_results(find_results(tmp_path), data)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_read_by_row_and_seed(results, data):
    rows = load_results(reversed(find_results(results)), data)
    assert list(rows) == list(ROWS)  # the recipes' order, not the files'
    for row, of_row in rows.items():
        assert [(result.row, result.seed) for result in of_row] == [(row, i) for i in range(3)]
        assert load_row(results / row, data) == of_row


def test_a_row_that_is_not_there_gets_the_nearest_name(results, data, tmp_path):
    with pytest.raises(ResultError, match=r"unknown row 'decay.num-epochs=3'; did you mean 'decay"):
        load_row(results / "decay+num-epochs=3", data)
    with pytest.raises(ResultError, match="no results here"):
        load_row(tmp_path / "decay", data)


def test_rows_stand_in_the_recipes_order_and_unknown_ones_last():
    rows = ["my-own", "decay+rotation-degrees=10.0", "decay", "sgd-flip", "sgd"]
    assert in_order(rows) == ["sgd", "decay", "decay+rotation-degrees=10.0", "sgd-flip", "my-own"]


def test_histories_are_those_of_a_run_or_of_every_result(results, data, tmp_path):
    of_rows = load_histories(results, data)
    assert [len(histories) for histories in of_rows.values()] == [3, 3]
    record = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.9}
    run = tmp_path / "mine-seed4"
    run.mkdir()
    (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    assert load_histories(run, data) == {"mine": [[record]]}
    (run / "metrics.jsonl").write_text('{"epoch": 1, "train_lo')
    with pytest.raises(ResultError, match=r"metrics\.jsonl: damaged"):
        load_histories(run, data)
    for other in (
        "{}",
        "5",
        '{"train_accuracy": 1}',
        '{"step": 1, "train_loss": 0.5}',
    ):  # the last is a reader's
        (run / "metrics.jsonl").write_text(other)
        with pytest.raises(ResultError, match=r"metrics\.jsonl: no accuracies here"):
            load_histories(run, data)
    shutil.rmtree(run)
    with pytest.raises(ResultError, match="neither a run nor results here"):
        load_histories(tmp_path, data)


def test_what_a_recipe_was_changed_from_stands_before_it():
    rows = ["decay+batch-size=64+num-epochs=2", "decay+num-epochs=2", "decay+holdout=100+fold=3"]
    assert in_order([*rows, "sgd", "decay"])[:4] == ["sgd", "decay", rows[2], rows[1]]
    assert in_order(rows)[-1] == rows[0]


def test_a_row_of_two_recipes_of_one_name_is_refused(data, tmp_path):
    first = result_with("decay", 0, 7, data.test.labels, data=data.fingerprint)
    edited = dataclasses.replace(first.recipe, batch_size=64)
    save_result(tmp_path / "decay-seed0.json", first)
    second = result_with("decay", 1, 7, data.test.labels, data=data.fingerprint)
    save_result(tmp_path / "decay-seed1.json", second)
    assert len(load_results(find_results(tmp_path), data)["decay"]) == 2
    save_result(tmp_path / "decay-seed1.json", dataclasses.replace(second, recipe=edited))
    with pytest.raises(ResultError, match=r"decay-seed1\.json: was measured with another recipe"):
        load_results(find_results(tmp_path), data)
