import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import assert_one_line_error, run_command, write_idx

from mnist_classification.data import load_mnist
from mnist_classification.errors import ResultError
from mnist_classification.recipes import find_recipe
from mnist_classification.study.experiments import EXPERIMENTS
from mnist_classification.study.results import Result, in_order, load_results, load_row
from mnist_classification.study.runner import current_commit
from mnist_classification.study.tables import report, update_section

RECIPES = "vanilla+num-epochs=2,decay+num-epochs=2"


def experiment(small_dir, output, *more, recipes=RECIPES, seeds="0-2"):
    return run_command(
        *["experiment", "run", "--recipes", recipes, "--seeds", seeds],
        *["--data-dir", small_dir, "--output", output, *more],
    )


@pytest.fixture(scope="module")
def results(small_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("results") / "mine"
    result = experiment(small_dir, output)
    assert result.returncode == 0, result.stderr
    return output


@pytest.fixture(scope="module")
def data(small_dir):
    return load_mnist(small_dir)


def test_a_run_leaves_one_file_with_all_that_decided_and_came_of_it(results, small):
    names = sorted(path.name for path in results.iterdir())
    assert names == [
        f"{recipe}+num-epochs=2-seed{seed}.json"
        for recipe in ("decay", "vanilla")
        for seed in range(3)
    ]
    result = json.loads((results / "decay+num-epochs=2-seed1.json").read_text())
    digits = np.array([int(digit) for digit in result["predictions"]])
    assert result["test_accuracy"] == (digits == small.test.labels).mean()
    assert result["holdout_accuracy"] is None
    assert result["recipe"]["batch_size"] == 32
    assert (result["seed"], result["precision"]) == (1, "float32")
    assert 0 < result["train_seconds"] < result["total_seconds"]
    assert len(result["history"]) == 2
    assert result["environment"]["threads"] == 1


def test_a_rerun_does_only_what_is_missing(results, small_dir):
    times = {path.name: path.stat().st_mtime_ns for path in results.iterdir()}
    missing = results / "vanilla+num-epochs=2-seed1.json"
    before = json.loads(missing.read_text())
    missing.unlink()
    result = experiment(small_dir, results)
    assert result.returncode == 0
    assert "vanilla+num-epochs=2 seed 1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    after = json.loads(missing.read_text())
    assert after["predictions"] == before["predictions"]  # the same seed, the same network
    for path in results.iterdir():
        assert path == missing or path.stat().st_mtime_ns == times[path.name]


def test_what_a_sister_experiment_measured_is_taken_from_there(results, small_dir):
    output = results.parent / "sister"
    result = experiment(small_dir, output, seeds="0-1")
    assert result.returncode == 0
    if clean_commit():
        assert result.stderr.count("taken from") == 4
    else:  # code that has changed might give something else
        assert result.stderr.count(" done") == 4
    for path in output.iterdir():
        theirs = json.loads((results / path.name).read_text())
        assert json.loads(path.read_text())["predictions"] == theirs["predictions"]


def test_a_sister_on_other_data_or_damaged_is_nobodys_business(tmp_path_factory):
    output = tmp_path_factory.mktemp("other") / "mine"
    damaged = output.parent / "sister"
    damaged.mkdir()
    (damaged / "vanilla+num-epochs=1-seed0.json").write_text("{")
    write_idx(output.parent / "data", "train", *tiny(np.random.default_rng(0), 64))
    write_idx(output.parent / "data", "t10k", *tiny(np.random.default_rng(1), 32))
    result = experiment(output.parent / "data", output, recipes="vanilla+num-epochs=1", seeds="0")
    assert result.returncode == 0, result.stderr


def tiny(rng, count):
    """Return random images and labels."""
    images = rng.integers(0, 256, size=(count, 28, 28), dtype=np.uint8)
    return images, rng.integers(0, 10, size=count, dtype=np.uint8)


def clean_commit():
    commit = current_commit()
    return commit is not None and not commit.endswith("+")


def test_a_run_that_fails_is_reported_and_stops_no_other(small_dir, tmp_path):
    recipes = "sgd+num-epochs=1+learning-rate=1000,sgd+num-epochs=1"
    result = experiment(small_dir, tmp_path, recipes=recipes, seeds="0-1")
    assert_one_line_error(result, "2 runs failed", "no longer a finite number")
    assert result.stdout.startswith("2 of 4 results")
    assert len(list(tmp_path.iterdir())) == 2


def test_the_holdout_is_measured(small_dir, tmp_path):
    result = experiment(
        small_dir, tmp_path, "--holdout", 100, recipes="decay+num-epochs=1", seeds="0"
    )
    assert result.returncode == 0
    (path,) = tmp_path.iterdir()
    facts = json.loads(path.read_text())
    assert 0 < facts["holdout_accuracy"] <= 1
    assert facts["test_accuracy"] is None  # who chooses, must not know
    assert facts["predictions"] == ""
    assert f"{facts['holdout_accuracy']:.2%}" in result.stderr
    text = run_command("report", tmp_path, "--data-dir", small_dir).stdout
    assert f"{100 * facts['holdout_accuracy']:.3f} (1)" in text
    assert "accuracy on 100 hold-out images" in text
    other = experiment(small_dir, tmp_path, recipes="decay+num-epochs=1", seeds="0")
    assert_one_line_error(other, path.name, "hold-out or pretrained weights")


def test_a_kill_loses_only_the_runs_in_progress_and_leaves_no_orphans(small_dir, tmp_path):
    command = [sys.executable, "-m", "mnist_classification", "experiment", "run"]
    command += ["--recipes", "decay+num-epochs=8", "--seeds", "0-4", "--data-dir", str(small_dir)]
    command += ["--output", str(tmp_path), "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "1 of 5 done" in process.stderr.readline()
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert 1 <= len(done) < 5
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in children):  # noqa: PTH110
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.2)
    result = experiment(small_dir, tmp_path, recipes="decay+num-epochs=8", seeds="0-4")
    assert result.returncode == 0
    for name, content in done.items():
        assert (tmp_path / name).read_bytes() == content
    assert len(list(tmp_path.glob("*.json"))) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:500], "damaged"),
        (lambda text: f"[{text}]", "damaged"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2; expected 1"),
        (lambda text: text.replace('"data": "', '"data": "0'), "another data set"),
        (lambda text: text.replace('"batch_size"', '"batchsize"'), "damaged"),
        (lambda text: text.replace('"predictions": "', '"predictions": "77777'), "predictions"),
        (lambda text: text.replace('"seed"', '"sead"'), "damaged"),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "expected what its name says"),
    ],
)
def test_wrong_result_files_get_one_line(results, small_dir, data, tmp_path, change, message):
    name = "decay+num-epochs=2-seed0.json"
    (tmp_path / name).write_text(change((results / name).read_text()))
    with pytest.raises(ResultError, match=message) as error:
        load_results(tmp_path, data.test, data.fingerprint)
    assert "\n" not in str(error.value)
    result = run_command("report", tmp_path, "--data-dir", small_dir)
    assert_one_line_error(result, name, message)
    result = experiment(small_dir, tmp_path, recipes="decay+num-epochs=2", seeds="0")
    assert_one_line_error(result, name, message)


def test_compare_gives_a_verdict(results, small_dir):
    rows = [results / f"{name}+num-epochs=2" for name in ("vanilla", "decay")]
    text = run_command("compare", *rows, "--data-dir", small_dir).stdout
    assert text.count("| helps |") == 1
    assert "95% bootstrap over images" in text
    facts = json.loads(run_command("compare", *rows, "--data-dir", small_dir, "--json").stdout)
    assert facts["verdict"] == "helps"
    assert 0 < facts["image_interval"][0] < facts["difference"] < facts["image_interval"][1]
    assert facts["difference"] == pytest.approx(np.mean(facts["after"]) - np.mean(facts["before"]))
    result = run_command("compare", rows[0], results / "decya", "--data-dir", small_dir)
    assert_one_line_error(result, "unknown row 'decya'")


def test_compare_two_models(small_dir, tmp_path):
    for epochs in (0, 2):
        result = run_command(
            *["train", "--num-epochs", epochs, "--data-dir", small_dir],
            *["--output", tmp_path / str(epochs)],
        )
        assert result.returncode == 0
    models = [tmp_path / "0", tmp_path / "2"]
    text = run_command("compare", *models, "--data-dir", small_dir).stdout
    assert "McNemar" in text
    facts = json.loads(run_command("compare", *models, "--data-dir", small_dir, "--json").stdout)
    gain = (facts["only_after_correct"] - facts["only_before_correct"]) / 500
    assert facts["after"] - facts["before"] == pytest.approx(gain)


def test_report_has_every_row_and_a_verdict(results, data):
    rows = load_results(results, data.test, data.fingerprint)
    text = report("mine", rows, data.test.labels)
    for name, of_row in rows.items():
        mean = 100 * np.mean([result.test_accuracy for result in of_row])
        assert f"| {name} |" in text
        assert f"{mean:.3f} ± " in text
    assert "| helps |" in text
    assert (
        load_row(results / "decay+num-epochs=2", data.test, data.fingerprint)
        == rows["decay+num-epochs=2"]
    )


def result_with(name, seed, errors, labels, precision="float32"):
    """A result that reads so many images wrongly, the first ones."""
    digits = labels.copy()
    digits[:errors] = (digits[:errors] + 1) % 10
    return Result(
        recipe=find_recipe(name),
        seed=seed,
        precision=precision,
        data="",
        holdout=0,
        test_accuracy=1 - errors / len(labels),
        holdout_accuracy=None,
        predictions="".join(map(str, digits)),
        train_seconds=1.0,
        total_seconds=60.0,
        history=[],
        environment={"processor": "p", "threads": 1, "torch": "t"},
        commit="c" * 40,
    )


def rows_with(labels, **errors):
    """Rows of results from the numbers of errors of their seeds; "_" stands for "-"."""
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


def test_ladder_report_by_hand(mnist):
    rows = rows_with(
        mnist.test.labels,
        sgd=[80, 90, 100],
        vanilla=[300, 310, 320],
        decay=[50, 60, 70],
        deeper=[80, 90, 100],
    )
    text = report("ladder", rows, mnist.test.labels)
    sgd = cells(text, "sgd")
    assert sgd[1:4] == [
        "optim adam → sgd, learning rate 0.0005 → 0.001",
        "99.2",
        "99.100 ± 0.100 (3)",
    ]
    assert sgd[4] == "98.852 to 99.348"  # ± 4.302653 * 0.1 / √3
    assert sgd[5] == "yes (98.786 to 99.414)"  # ± 4.302653 * 0.1 * √(1/3 + 1/5)
    assert cells(text, "vanilla")[5] == "**no**, above (96.586 to 97.214)"
    assert cells(text, "deeper → sgd")[1] == "+0.000"
    assert cells(text, "deeper → sgd")[3].startswith("no difference that these seeds can show; ±")
    assert cells(text, "sgd → decay")[1] == "+0.300"
    assert cells(text, "vanilla → deeper")[3] == "helps"
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert names[1:5] == ["vanilla", "deeper", "sgd", "decay"]  # the ladder's order, not the files'


def test_frontier_report_by_hand(mnist):
    rows = rows_with(mnist.test.labels, half_epoch=[90, 100, 110], two_epochs=[40, 50, 60])
    text = report("frontier", rows, mnist.test.labels)
    half, two = cells(text, "half-epoch"), cells(text, "two-epochs")
    assert half[1:4] == ["whitened-cnn", "27,000", "99.000 ± 0.100 (3)"]
    assert two[1:4] == ["whitened-batch-norm-cnn", "100,000", "99.500 ± 0.100 (3)"]
    assert half[5] == f"{next(iter(rows.values()))[0].total_seconds:.2f}"


def test_ideas_report_by_hand(mnist):
    rows = rows_with(
        mnist.test.labels,
        sgd=[90, 91, 92],
        decay=[60, 61, 62],
        sgd_flip=[190, 191, 192],
        decay_rotation=[60, 61, 62],
        decay_translation=[40, 41, 42],
    )
    text = report("failed-ideas", rows, mnist.test.labels)
    assert cells(text, "sgd-flip")[1] == "flip probability 0.0 → 0.5"
    assert cells(text, "sgd-flip")[4] == "-1.000"
    assert cells(text, "sgd-flip")[6] == "hurts"
    assert cells(text, "decay-rotation")[6].startswith("no difference")
    assert cells(text, "decay-translation")[6] == "helps"
    assert "pretrained: not measured, weights unavailable" in text


def test_rows_stand_in_the_recipes_order_and_unknown_ones_last():
    rows = ["my-own", "decay+rotation-degrees=10.0", "decay", "sgd-flip", "sgd"]
    assert in_order(rows) == ["sgd", "decay", "decay+rotation-degrees=10.0", "sgd-flip", "my-own"]


def test_report_replaces_its_own_section_and_nothing_else(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- mnist report x -->\nold\n<!-- end of report -->\nb\n")
    update_section(path, "x", "new\n")
    assert path.read_text() == "a\n<!-- mnist report x -->\nnew\n<!-- end of report -->\nb\n"
    with pytest.raises(ResultError, match="expected a line '<!-- mnist report y -->'"):
        update_section(path, "y", "new\n")


def test_named_experiments_have_the_seeds_that_were_declared():
    counts = {}
    for name, runs in EXPERIMENTS.items():
        for run in runs:
            counts.setdefault((name, run.row), []).append(run.seed)
    for (name, row), seeds in counts.items():
        many = name == "frontier" or row.split("+precision")[0] in ("sgd", "decay")
        expected = 10 if many else 3 if "num-epochs=1" in row else 5
        assert seeds == list(range(expected)), (name, row)
    assert len({row for name, row in counts if name == "ladder"}) == 9
    assert len({row for name, row in counts if name == "failed-ideas"}) == 2 + 12 + 2
