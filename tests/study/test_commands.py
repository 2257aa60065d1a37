"""`mnist report`, `compare` and `experiment` as a user runs them; runs are in test_runner.py."""

import json
import shutil

import numpy as np
import pytest
from conftest import ROOT, assert_one_line_error, run_command, run_json

from mnist_classification.recipes import find_recipe
from mnist_classification.study.results import file_name, save_result
from mnist_classification.training import fit

from .conftest import result_with, verdict_on


def test_report_of_a_folder_has_every_row(results, small_dir):
    result = run_command("report", results, "--data-dir", small_dir)
    assert result.returncode == 0, result.stderr
    for name in ("vanilla", "decay"):
        assert f"| {name}+num-epochs=2 |" in result.stdout
    assert result.stdout.count(f"| {verdict_on(results)}") == 1


def test_report_compares_what_was_judged_on_the_same_images_alone(data, small_dir, tmp_path):
    for name in ("vanilla", "decay"):
        for fold in range(2):
            labels = data.train.labels[200 * fold : 200 * (fold + 1)]
            facts = {"holdout": 200, "fold": fold, "data": data.fingerprint}
            run = result_with(name, 0, 2 + 2 * fold, labels, **facts)
            save_result(tmp_path / file_name(run.row, 0), run)
    result = run_command("report", tmp_path, "--data-dir", small_dir)
    assert result.returncode == 0, result.stderr
    assert "Holm" not in result.stdout.split("<details>")[0]
    assert "| decay | 2 | 98.500% | 99.000% | 98.000% |" in result.stdout
    tested = result_with("sgd", 0, 5, data.test.labels, data=data.fingerprint)
    save_result(tmp_path / file_name(tested.row, 0), tested)
    result = run_command("report", tmp_path, "--data-dir", small_dir)
    tested, held = result.stdout.split("| recipe |")
    assert "| sgd | |" in tested
    assert "decay" not in tested
    assert "sgd" not in held.split("<details>")[0]


def test_report_of_an_experiment_reads_the_pool_that_is_committed():
    named = run_command("report", "precision")
    assert named.returncode == 0, named.stderr
    assert "| decay, bfloat16 |" in named.stdout
    other = run_command("report", "precision", "--results", ROOT / "results" / "runs")
    assert other.stdout == named.stdout


def test_a_damaged_result_is_one_line_whoever_reads_it(results, small_dir, tmp_path):
    name = "decay+num-epochs=2-seed0.json"
    (tmp_path / name).write_text((results / name).read_text()[:500])
    for command in (
        ["report", tmp_path],
        ["compare", tmp_path / "decay+num-epochs=2", tmp_path / "decay+num-epochs=2"],
        [
            "experiment",
            "run",
            "--recipes",
            "decay+num-epochs=2",
            "--seeds",
            0,
            "--output",
            tmp_path,
        ],
    ):
        assert_one_line_error(run_command(*command, "--data-dir", small_dir), name, "damaged")


def test_compare_gives_a_verdict(results, small_dir):
    rows = [results / f"{name}+num-epochs=2" for name in ("vanilla", "decay")]
    text = run_command("compare", *rows, "--data-dir", small_dir).stdout
    assert text.count(f"| {verdict_on(results)}") == 1
    assert "95% bootstrap over images" in text
    facts = run_json("compare", *rows, "--data-dir", small_dir)
    assert facts["verdict"] == verdict_on(results)
    assert 0 < facts["image_interval"][0] < facts["difference"] < facts["image_interval"][1]
    assert facts["difference"] == pytest.approx(np.mean(facts["after"]) - np.mean(facts["before"]))
    result = run_command("compare", rows[0], results / "decya", "--data-dir", small_dir)
    assert_one_line_error(result, "unknown row 'decya'")


def test_compare_refuses_what_was_judged_on_other_images(data, small_dir, results, tmp_path):
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    content = json.loads((results / "decay+num-epochs=2-seed0.json").read_text())
    held = "decay+num-epochs=2+holdout=500+fold=0"
    labels = data.train.labels[:500]
    content |= {"holdout": 500, "fold": 0, "test_accuracy": None, "holdout_accuracy": 1.0}
    content["predictions"] = "".join(map(str, labels))
    (tmp_path / f"{held}-seed0.json").write_text(json.dumps(content))
    rows = [tmp_path / "decay+num-epochs=2", tmp_path / held]
    result = run_command("compare", *rows, "--data-dir", small_dir)
    assert_one_line_error(result, "judged on different images")


def test_compare_two_models(data, small_dir, tmp_path):
    models = []
    for epochs in (0, 2):
        models.append(tmp_path / str(epochs))
        fit(find_recipe(f"decay+num-epochs={epochs}"), data).save(models[-1])
    text = run_command("compare", *models, "--data-dir", small_dir).stdout
    assert "McNemar" in text
    facts = run_json("compare", *models, "--data-dir", small_dir)
    gain = (facts["only_after_correct"] - facts["only_before_correct"]) / 500
    assert facts["after"] - facts["before"] == pytest.approx(gain)
    assert facts["after"] > facts["before"] + 0.1


@pytest.mark.parametrize(
    "command",
    [
        ["compare", f"{300 * 'x'}/sgd", f"{300 * 'y'}/sgd"],
        ["report", "ladder", "--results", 300 * "x"],
        ["report", 300 * "x"],
        ["visualize", "curves", 300 * "x"],
        ["visualize", "mistakes", 300 * "x"],
    ],
)
def test_a_name_too_long_is_one_line(command, small_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DATA_DIR", str(small_dir))  # which takes no time to read
    assert_one_line_error(run_command(*command, cwd=tmp_path), 300 * "x")


def test_report_takes_a_folder_or_an_experiments_results(results, small_dir):
    result = run_command("report", results, "--results", results, "--data-dir", small_dir)
    assert_one_line_error(result, "got --results", "expected one of them")
