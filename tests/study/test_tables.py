"""From results to tables, every figure checked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mnist_classification.errors import ResultError
from mnist_classification.study.published import DISPUTED
from mnist_classification.study.results import find_results, load_results
from mnist_classification.study.tables import (
    compare_rows,
    difference_tables,
    fold_tables,
    frontier_tables,
    ideas_tables,
    ladder_tables,
    report,
)

from .conftest import cells, result_with, rows_with, verdict_on


def test_report_has_every_row_and_a_verdict(results, data):
    rows = load_results(find_results(results), data)
    text = report(difference_tables, rows, data)
    for name, of_row in rows.items():
        mean = 100 * np.mean([result.test_accuracy for result in of_row])
        assert f"| {name} |" in text
        assert f"{mean:.3f} ± " in text
    assert f"| {verdict_on(results)}" in text


def test_ladder_report_by_hand(mnist):
    rows = rows_with(
        mnist.test.labels,
        sgd=[80, 90, 100],
        vanilla=[400, 410, 420],
        decay=[50, 60, 70],
        deeper=[80, 90, 100],
    )
    text = report(ladder_tables, rows, mnist)
    sgd = cells(text, "sgd")
    assert sgd[1:4] == [
        "optim adam → sgd, learning rate 0.0005 → 0.001",
        "99.2",
        "99.100 ± 0.100 (3)",
    ]
    assert sgd[4] == "98.852 to 99.348"  # ± 4.302653 * 0.1 / √3
    # ± t * 0.1 * √(1/3 + 1/5), with 2 degrees of freedom and a third of 5% for each of three rows.
    assert sgd[5] == "yes (98.541 to 99.659)"
    assert cells(text, "vanilla")[5] == "**no**, above (95.341 to 96.459)"
    assert cells(text, "deeper → sgd")[1] == "+0.000"
    assert cells(text, "deeper → sgd")[3].startswith("not enough seeds to tell; 80% power for ±")
    assert cells(text, "sgd → decay")[1] == "+0.300"
    assert cells(text, "vanilla → deeper")[3] == "helps"
    assert cells(text, "deeper")[1].startswith("network lenet → deeper-cnn, batch size 128 → 32, ")
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert names[1:5] == ["vanilla", "deeper", "sgd", "decay"]  # the ladder's order, not the files'


def test_frontier_report_by_hand(mnist):
    rows = rows_with(mnist.test.labels, half_epoch=[90, 100, 110], two_epochs=[40, 50, 60])
    text = report(frontier_tables, rows, mnist)
    half, two = cells(text, "half-epoch"), cells(text, "two-epochs")
    assert half[1:4] == ["whitened-cnn", "1,234", "99.000 ± 0.100 (3)"]
    assert two[1:4] == ["whitened-batch-norm-cnn", "1,234", "99.500 ± 0.100 (3)"]
    assert half[5] == f"{next(iter(rows.values()))[0].total_seconds:.2f}"
    assert "Welch" not in text  # no differences, so nothing to say of them


def test_ideas_report_by_hand(mnist):
    rows = rows_with(
        mnist.test.labels,
        sgd=[90, 91, 92],
        decay=[60, 61, 62],
        sgd_flip=[190, 191, 192],
        decay_rotation=[60, 61, 62],
        decay_translation=[40, 41, 42],
    )
    text = report(ideas_tables, rows, mnist)
    assert cells(text, "sgd-flip")[1] == "flip probability 0.0 → 0.5"
    assert cells(text, "sgd-flip")[4] == "-1.000"
    assert cells(text, "sgd-flip")[6] == "hurts"
    assert cells(text, "decay-rotation")[6].startswith("not enough seeds to tell")
    assert cells(text, "decay-translation")[6] == "helps"
    assert "pretrained: not measured, weights unavailable" in text
    assert "Welch" in text


def test_a_pretrained_network_is_not_said_to_be_from_scratch(mnist):
    base = result_with("sgd+num-epochs=1", 0, 90, mnist.test.labels)
    pretrained = [
        result_with("sgd-alexnet", seed, 80, mnist.test.labels, pretrained_weights="00")
        for seed in range(2)
    ]
    rows = rows_with(mnist.test.labels, sgd=[90, 91, 92], decay=[60, 61, 62])
    rows |= {r[0].row: r for r in ([base, replace(base, seed=1)], pretrained)}
    text = report(ideas_tables, rows, mnist)
    assert "**AlexNet**; one epoch beside one epoch of `sgd`" in text
    assert "scratch" not in text


def test_a_commit_with_changes_is_marked(mnist):
    rows = rows_with(mnist.test.labels, sgd=[90, 91])
    rows = {name: [replace(r, commit=40 * "a" + "+") for r in row] for name, row in rows.items()}
    assert "commit aaaaaaaaaa+." in report(frontier_tables, rows, mnist)


def test_folds_by_hand(mnist):
    rows = {}
    # 100 of the students' images (the even ones) wrong in one; 10 employees' in the other.
    for fold, wrong in [(1, slice(0, 200, 2)), (3, slice(1, 21, 2))]:
        digits = mnist.train.labels[fold * 10_000 : (fold + 1) * 10_000].copy()
        digits[wrong] = (digits[wrong] + 1) % 10
        errors = len(range(10_000)[wrong])
        result = result_with(
            *("decay", 0, errors, mnist.test.labels),
            **{"holdout": 10_000, "fold": fold, "predictions": "".join(map(str, digits))},
            log_loss=fold / 100,
            data=mnist.fingerprint,
        )
        rows[result.row] = [result]
    text = report(fold_tables, rows, mnist)
    assert cells(text, "decay")[1:] == [
        *("2", "99.450%", "99.000%", "99.900%", "99.000%", "99.900%", "0.0200")
    ]
    assert "accuracy on hold-outs of 10,000 training images" in text
    again = [type(r)(**vars(r) | {"precision": "bfloat16"}) for row in rows.values() for r in row]
    both = report(fold_tables, rows | {result.row: [result] for result in again[:1]}, mnist)
    assert cells(both, "decay, float32")[1:3] == ["2", "99.000%"]  # of the one that both have
    assert cells(both, "decay, bfloat16")[1:3] == ["1", "99.000%"]
    other = [type(result)(**vars(again[0]) | {"precision": "float32", "pretrained_weights": "ab"})]
    both = report(fold_tables, rows | {other[0].row: other}, mnist)
    assert cells(both, "decay")[1:3] == ["2", "99.000%"]
    assert cells(both, "decay, pretrained")[1:3] == ["1", "99.000%"]


def test_details_by_hand(mnist):
    rows = rows_with(mnist.test.labels, sgd=[100, 100])
    plain = result_with("decay", 0, 0, mnist.test.labels, data=mnist.fingerprint)
    digits = mnist.test.labels.copy()
    digits[list(DISPUTED)] = (digits[list(DISPUTED)] + 1) % 10
    people = result_with(
        *("decay", 1, 0, mnist.test.labels),
        **{"data": mnist.fingerprint, "predictions": "".join(map(str, digits))},
        test_accuracy=0.9985,
    )
    text = report(difference_tables, rows | {"decay": [plain, people]}, mnist)
    *_, details = (line for line in text.splitlines() if line.startswith("| decay |"))
    late = sum(index >= 5000 for index in DISPUTED)
    assert [cell.strip() for cell in details.strip("|").split("|")][1:5] == [
        "99.85%–100.00%",
        f"{1 - (15 - late) / 10_000:.3%}",
        f"{1 - late / 10_000:.3%}",
        "100.000%",
    ]
    *_, other = (line for line in text.splitlines() if line.startswith("| sgd |"))
    assert "| – | – | – |" in other  # another data set has no such groups, and labels of its own


def test_rows_judged_on_different_images_are_not_compared(data):
    plain = result_with("sgd", 0, 9, data.test.labels)
    held = result_with("sgd", 0, 9, data.train.labels[:100], holdout=100, fold=0)
    with pytest.raises(ResultError, match="judged on different images"):
        compare_rows([plain], [held], data)


def test_means_are_over_the_folds_that_all_recipes_have(mnist):
    def on_folds(name, wrong):
        results = {}
        for fold, count in wrong.items():
            labels = mnist.train.labels[100 * fold : 100 * fold + 100]
            result = result_with(
                name, 0, count, labels, data=mnist.fingerprint, holdout=100, fold=fold
            )
            results[result.row] = [result]
        return results

    rows = on_folds("decay", {0: 1, 1: 3, 2: 20}) | on_folds("sgd", {0: 2, 1: 2})
    text = report(fold_tables, rows, mnist)
    assert "accuracy, mean over folds 0, 1 |" in text
    assert cells(text, "decay")[1:6] == ["3", "98.000%", "99.000%", "97.000%", "80.000%"]
    assert cells(text, "sgd")[1:6] == ["2", "98.000%", "98.000%", "98.000%", "–"]
    del rows["sgd+holdout=100+fold=0"], rows["sgd+holdout=100+fold=1"]
    assert "accuracy, mean over folds |" in report(fold_tables, rows, mnist)
    text = report(fold_tables, rows | on_folds("sgd", {4: 2}), mnist)
    assert cells(text, "sgd")[2] == cells(text, "decay")[2] == "–"


def test_a_gpu_is_named(mnist):
    rows = rows_with(mnist.test.labels, sgd=[80, 90])
    environment = rows["sgd"][0].environment
    gpu = replace(rows["sgd"][1], environment=environment | {"device": "NVIDIA H100"})
    text = report(ladder_tables, {"sgd": [rows["sgd"][0], gpu]}, mnist)
    processor = environment["processor"]
    assert f"NVIDIA H100, {processor}, " in text
    assert f"; {processor}, " in text


def test_the_originals_figures_are_about_mnist_alone(mnist):
    rows = rows_with(mnist.test.labels, sgd=[80, 90, 100])
    other = replace(mnist, sha256={"another": "data set"})
    assert cells(report(ladder_tables, rows, mnist), "sgd")[2] == "99.2"
    text = report(ladder_tables, rows, other)
    assert (cells(text, "sgd")[2], cells(text, "sgd")[5]) == ("–", "–")
