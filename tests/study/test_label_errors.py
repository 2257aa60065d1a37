"""The search for wrong labels: which are suspect, and that nobody learns from them."""

import importlib

import numpy as np
import pytest
from conftest import ROOT

from mnist_classification.data import set_aside

from .conftest import result_with


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("label_errors")


def judged(data, fold, seed, **changed):
    """Return a result of block `fold` of 100 that reads all as labelled but `index=digit`."""
    digits = data.train.labels[fold * 100 : fold * 100 + 100].copy()
    for index, digit in changed.items():
        digits[int(index[1:])] = digit
    return result_with(
        *("decay", seed, len(changed), data.train.labels[fold * 100 : fold * 100 + 100]),
        **{"holdout": 100, "fold": fold, "data": data.fingerprint},
        predictions="".join(map(str, digits)),
    )


def test_a_label_is_suspect_where_all_networks_agree_on_another_digit(benchmark, data):
    labels = data.train.labels
    other, third = (labels[107] + 1) % 10, (labels[107] + 2) % 10
    results = [
        judged(data, 0, 0, _3=(labels[3] + 1) % 10),  # its twin reads this one as labelled
        judged(data, 0, 1),
        judged(data, 1, 0, _7=other, _9=other),
        judged(data, 1, 1, _7=other, _9=third),  # wrong both times, but not the same
    ]
    agreed = benchmark.find_suspects(results, data)
    assert np.flatnonzero(agreed >= 0).tolist() == [107]
    assert agreed[107] == other
    described = [benchmark.describe(result, data) for result in results]
    assert [run["errors"] for run in described] == [1, 0, 2, 2]


def test_suspects_are_not_learned_from_but_still_judge(benchmark, data, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "load_mnist", lambda: data)
    learned = []

    def measure(run, part, _options):
        learned.append(part)
        return judged(data, run.fold, run.seed, _0=(part.holdout.labels[0] + 1) % 10)

    monkeypatch.setattr(benchmark, "measure", measure)
    suspects = np.zeros(len(data.train), bool)
    suspects[[5, 150, 300]] = True
    before = judged(data, 1, 1)
    found = benchmark.learn_without(before, suspects, tmp_path, None)
    (part,) = learned
    whole = set_aside(data, 100, 1)
    np.testing.assert_array_equal(part.train.images, np.delete(whole.train.images, [5, 200], 0))
    np.testing.assert_array_equal(part.train.labels, np.delete(whole.train.labels, [5, 200]))
    np.testing.assert_array_equal(part.holdout.labels, whole.holdout.labels)
    assert benchmark.learn_without(before, suspects, tmp_path, None) == found
    assert len(learned) == 1  # what is there is read


def test_runs_of_another_machine_are_refused_in_one_line(benchmark, data, tmp_path):
    with pytest.raises(SystemExit, match="measured elsewhere"):
        benchmark.check_machine([judged(data, 0, 0)], tmp_path)


def test_the_table_by_hand(benchmark):
    def runs(errors, loss):  # two seeds of each block
        return [
            {"fold": fold, "seed": seed, "errors": count + (-1) ** seed, "log_loss": loss}
            for fold, count in enumerate(errors)
            for seed in (0, 1)
        ]

    result = {
        "suspects": [{"index": benchmark.LOOKS_WRONG[0]}, {"index": 2}, {"index": 4}],
        "with": runs([40, 42, 38], 0.022),
        "without": runs([38, 41, 38], 0.020),
        "environment": {"processor": "p", "torch": "t"},
    }
    text = benchmark.table(result)
    # Differences of the blocks -2, -1, 0: mean -1, standard error 1 / √3, t(0.975, 2) = 4.303.
    assert "| errors | 40.00 | 39.00 | -1.00, -3.48 to +1.48 |" in text
    assert "| log-loss | 0.0220 | 0.0200 | -0.0020, -0.0020 to -0.0020 |" in text
    assert "3 suspects, 2 of them by students; of 1 we would say what the networks say" in text
    assert "3 blocks, 2 seeds each" in text


def test_a_pool_that_lacks_a_run_is_refused_in_one_line(benchmark, tmp_path, monkeypatch):
    pool = ROOT / "results" / "runs"
    for path in sorted(pool.glob("eight-epochs+holdout=10000+fold=?-seed?.json"))[1:]:
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr("sys.argv", ["label_errors.py", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"1 of 12 runs are missing; try mnist experiment"):
        benchmark.main()


def test_the_sheet_has_the_suspects_it_says(benchmark, data):
    agreed = np.full(len(data.train), -1)
    agreed[[3, 8, 20]] = 7
    figure = benchmark.draw(data, agreed, 2)
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] == ["#3", "#8"]
    assert "the first 2 of 3" in figure.get_suptitle()
