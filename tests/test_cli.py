import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    ROOT,
    assert_one_line_error,
    run_command,
    run_json,
    run_process,
    run_python,
)

from mnist_classification.recipes import SETTINGS
from mnist_classification.study.statistics import evaluate

COMMANDS = ["train", "evaluate", "info", "experiment", "report", "compare", "predict", "export"]
COMMANDS += ["page", "serve", "train-reader"]
PICTURES = ["tsne", "curves", "confusion", "mistakes", "filters", "augmentations", "ladder"]
PICTURES += ["frontier"]


@pytest.fixture(scope="module")
def trained(small_dir, tmp_path_factory):
    """A model that the documented command trained, on a small part of the data."""
    directory = tmp_path_factory.mktemp("run") / "model"
    result = run_command(
        *["--num-epochs", 2, "--learning-rate", 0.001, "--batch-size", 32, "--seed", 1],
        *["--data-dir", small_dir, "--output", directory],
        script="train.py",
    )
    assert result.returncode == 0, result.stderr
    return directory, result


def test_training_says_what_it_does_and_leaves_a_model(trained):
    directory, result = trained
    assert result.stdout.startswith("test accuracy ")
    lines = result.stderr.splitlines()
    assert "falls to zero; --recipe sgd is the original's" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:]] == ["epoch 1/2", "epoch 2/2"]
    assert "images/s" in lines[1]
    config = json.loads((directory / "config.json").read_text())
    assert config["seed"] == 1
    assert f"{config['test_accuracy']:.2%}" in result.stdout
    card = (directory / "README.md").read_text()
    assert f"Test accuracy {config['test_accuracy']:.2%}" in card
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]


def test_evaluate_as_text_and_json(trained, small_dir, small):
    directory, _ = trained
    text = run_command("evaluate", directory, "--data-dir", small_dir).stdout
    facts = run_json("evaluate", directory, "--data-dir", small_dir)
    digits = [int(digit) for digit in facts["predictions"]]
    evaluation = evaluate(np.array(digits), small.test.labels)
    assert facts["accuracy"] == evaluation.accuracy
    assert facts["errors"] == evaluation.errors
    assert facts["interval"] == list(evaluation.interval)
    assert f"{facts['accuracy']:.2%}" in text
    assert len(text.splitlines()) == 12


@pytest.fixture(scope="module")
def committee(trained, small_dir, tmp_path_factory):
    """A trained model, a copy of it, and two of an untrained one."""
    folder = tmp_path_factory.mktemp("committee")
    run_command("train", "--num-epochs", "0", "--data-dir", small_dir, "--output", folder / "raw")
    shutil.copytree(trained[0], folder / "copy")
    shutil.copytree(folder / "raw", folder / "raw-copy")
    return trained[0], folder / "copy", folder / "raw", folder / "raw-copy"


def test_three_models_read_as_most_of_them_do(committee, small_dir):
    model, copy, raw, raw_copy = committee
    alone, untrained, most_trained, most_raw = (
        run_json("evaluate", *models, "--data-dir", small_dir)
        for models in ([model], [raw], [raw, model, copy], [model, raw, raw_copy])
    )
    assert alone["predictions"] != untrained["predictions"]
    assert most_trained["predictions"] == alone["predictions"]
    assert most_raw["predictions"] == untrained["predictions"]
    assert most_raw["models"] == [str(model), str(raw), str(raw_copy)]


def test_two_models_have_no_majority_nor_has_one_twice(committee, small_dir):
    model, copy, *_ = committee
    two = run_command("evaluate", model, copy, "--data-dir", small_dir)
    assert_one_line_error(two, "got 2 models", "mnist compare")
    twice = run_command("evaluate", model, copy, model, "--data-dir", small_dir)
    assert_one_line_error(twice, f"{model}: given twice")


def test_info_as_text_and_json():
    facts = run_json("info")
    assert facts["train_images"] == 60000
    assert facts["precision"] in ("bfloat16", "float32")
    assert len(facts["sha256"]) == 4
    text = run_command("info").stdout
    for value in (facts["torch"], facts["processor"], *facts["sha256"].values()):
        assert str(value) in text


@pytest.mark.parametrize("command", [*COMMANDS, *(f"visualize {name}" for name in PICTURES)])
def test_help_shows_an_example(command):
    result = run_command(*command.split(), "--help")
    assert result.returncode == 0, result.stderr
    assert f"Example: mnist {command}" in result.stdout


def test_help_needs_nothing_that_is_slow_to_import():
    commands = [[name] for name in COMMANDS] + [["visualize", name] for name in PICTURES]
    result = run_python(f"""
import sys
from mnist_classification.cli import app
for command in {commands}:
    app([*command, "--help"], result_action="return_value")
slow = {{"torch", "scipy", "matplotlib", "sklearn", "openTSNE", "onnxruntime", "PIL"}}
assert not slow & set(sys.modules), slow & set(sys.modules)
""")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Example: mnist ") == len(commands)


def test_every_command_has_its_help_tested():
    for options, names in [([], COMMANDS), (["visualize"], PICTURES)]:
        text = run_command(*options, "--help").stdout
        listed = re.findall(r"^│ ([a-z][a-z-]*) ", text, re.MULTILINE)
        assert sorted(listed) == sorted([*names, *([] if options else ["visualize"])])


def test_every_setting_of_a_recipe_is_a_flag():
    text = run_command("train", "--help").stdout
    for field in SETTINGS:
        assert f"--{field.replace('_', '-')} " in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "--recipe", "sdg"], ["unknown recipe 'sdg'; did you mean 'sgd'"]),
        (["train", "--batch-size", "many"], ["--batch-size", "many"]),
        (["train", "--batch-size", "0"], ["got batch_size 0; expected 1 or more"]),
        (["train", "--batch-sise", "3"], ["--batch-sise", "--batch-size"]),
        (["train", "--network", "lennet"], ["lennet", "lenet"]),
        (["train", "--device", "tpu"], ["got device 'tpu'"]),
        (["train", "--threads", "0"], ["got 0 threads"]),
        (["train", "--holdout", "60000"], ["got a hold-out of 60000"]),
        (["train", "--data-dir", "/nowhere"], ["/nowhere; expected a folder"]),
        (["evaluate", "/nowhere"], ["/nowhere: no model here"]),
        (["experiment", "laddder"], ["did you mean 'ladder'"]),
        (["experiment", "run", "--recipes", "sgd"], ["expected --recipes and --seeds"]),
        (["experiment", "run", "--recipes", "x", "--seeds", "0"], ["unknown recipe 'x'"]),
        (["experiment", "run", "--recipes", "sgd", "--seeds", "a-b"], ["got seeds 'a-b'"]),
        (["experiment", "ladder", "--seeds", "0"], ["mnist experiment run"]),
        (["experiment", "ladder", "--workers", "-1"], ["got -1 workers"]),
        (["experiment", "ladder", "--output", "/proc/x"], ["can't make folder /proc/x"]),
        (["experiment", "run", "--recipes", "sgd", "--seeds", "0", "--precision", "x"], ["'x'"]),
        (["train", "--seed", "-1"], ["got seed -1"]),
        (["train", "--pretrained-weights", "/nowhere"], ["expected the network alexnet"]),
        (
            ["train", "--recipe", "sgd-alexnet", "--pretrained-weights", "/nowhere"],
            ["/nowhere: can't be read"],
        ),
        (["train", "--fold", "1"], ["got fold 1; expected a hold-out beside it"]),
        (["train", "--num-epochs", "1.5"], ["--num-epochs", "1.5"]),
        (["train", "--seed", "0.5"], ["--seed", "0.5"]),
        (["train", "--recipe", "sgd+momentum"], ["field=value, once each"]),
        (["train", "--recipe", "sgd+momentum=x+momentum=0.5"], ["field=value, once each"]),
        (
            ["experiment", "run", "--recipes", "sgd", "--seeds", "0-999999999999"],
            ["got seeds '0-999999999999'; expected fewer than 100,000"],
        ),
        (["report", "laddr"], ["unknown experiment or folder 'laddr'; did you mean 'ladder'"]),
        (["report", "ladder", "--results", "nowhere"], ["nowhere: no results of this experiment"]),
        (["compare", "results/nowhere/a", "results/nowhere/b"], ["no results here"]),
        (["trian"], ["trian"]),
    ],
)
def test_wrong_input_gets_one_line(arguments, parts, small_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DATA_DIR", str(small_dir))  # which takes no time to read
    assert_one_line_error(run_command(*arguments, cwd=tmp_path), *parts)
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_an_empty_environment_variable_names_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DATA_DIR", "")
    result = run_command("info", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_training_with_a_holdout_does_not_look_at_the_test_set(small_dir, tmp_path):
    result = run_command(
        *["train", "--num-epochs", 1, "--holdout", 100, "--data-dir", small_dir],
        *["--output", tmp_path / "run"],
    )
    assert result.stdout.startswith("hold-out accuracy ")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["test_accuracy"] is None
    assert config["holdout"] == 100
    assert "Hold-out accuracy" in (tmp_path / "run" / "README.md").read_text()


def test_missing_packages_are_named():
    """Without the packages for training, as after `pip install .` alone."""
    result = run_python(
        "import sys\nsys.modules['torch'] = None\n"
        "from mnist_classification.cli import main\nmain(['info'])"
    )
    assert_one_line_error(result, "torch is not installed", "pip install '.[train]'")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_has_no_room_gets_one_line():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "mnist_classification", "predict", "plots/page.jpg"]
        done = subprocess.run(command, stdout=full, stderr=-1, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == (
        "error: can't write the output: No space left on device; try another disk\n"
    )


def test_debug_shows_where_it_went_wrong(tmp_path):
    result = run_process("train", "--recipe", "x", "--debug", cwd=tmp_path)
    assert "Traceback" in result.stderr
    assert "RecipeError" in result.stderr


def test_the_command_fails_as_a_process_too(tmp_path):
    result = run_process("train", "--recipe", "sdg", cwd=tmp_path)
    assert_one_line_error(result, "unknown recipe 'sdg'; did you mean 'sgd'")
    assert result.stdout == ""


def test_documented_script_runs_from_anywhere_without_installation(small_dir, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / "train.py"), "--data-dir", str(small_dir)]
    command += ["--num-epochs", "1"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / "decay+num-epochs=1-seed0" / "model.safetensors").exists()


def test_an_empty_path_is_not_the_current_folder(tmp_path):
    result = run_command("train", "--recipe", "baseline", "--output", "", cwd=tmp_path)
    assert_one_line_error(result, "--output")
    assert list(tmp_path.iterdir()) == []


def test_closed_streams_and_no_width_are_no_error():
    command = shlex.join([sys.executable, "-m", "mnist_classification", "predict"])
    shell = f"{command} plots/page.jpg >&- && COLUMNS=1 {command} --help && {command} nope 2>&-"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2
    assert "Usage" in done.stdout
    assert "nope" not in done.stdout
    assert done.stderr == ""


def test_a_folder_that_is_gone_is_said_in_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f"rmdir {gone} && {shlex.quote(sys.executable)} -m mnist_classification info"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        shell, shell=True, capture_output=True, text=True, cwd=gone, env=environment
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the current folder is gone; try again in another one\n"
