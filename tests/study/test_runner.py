"""Runs become results: in this process by `measure`, and by an experiment's own processes."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, assert_one_line_error, children_of, is_running, run_command

from mnist_classification.data import load_mnist, set_aside
from mnist_classification.errors import ExperimentError, ResultError
from mnist_classification.model import to_pixels
from mnist_classification.recipes import find_recipe
from mnist_classification.study import engines, runner
from mnist_classification.study.engines import Options, choose_options, count_workers, measure
from mnist_classification.study.experiments import Run
from mnist_classification.study.results import load_result, load_results, save_result
from mnist_classification.study.runner import current_commit, run_experiment
from mnist_classification.training import fit

RECIPES = "vanilla+num-epochs=2,decay+num-epochs=2"


def experiment(small_dir, output, *more, recipes=RECIPES, seeds="0-2"):
    return run_command(
        *["experiment", "run", "--recipes", recipes, "--seeds", seeds],
        *["--data-dir", small_dir, "--output", output, *more],
    )


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
    assert (result["seed"], result["precision"], result["test_precision"]) == (
        *(1, "float32", "float32"),
    )
    assert result["images_seen"] == 2 * 640
    assert 0 < result["train_seconds"] < result["total_seconds"]
    assert len(result["history"]) == 2
    assert result["environment"]["threads"] == 1


def test_a_run_with_a_holdout_is_judged_on_it_alone(small_dir):
    data = load_mnist(small_dir, holdout=100, fold=2)
    run = Run(find_recipe("decay+num-epochs=1"), 0, holdout=100, fold=2)
    result = measure(run, data, Options())
    assert result.test_accuracy is None  # who chooses, must not know
    assert result.accuracy == result.holdout_accuracy > 0
    assert (result.digits == data.holdout.labels).mean() == result.holdout_accuracy
    assert (result.holdout, result.fold, result.images_seen) == (100, 2, 540)
    assert result.row == "decay+num-epochs=1+holdout=100+fold=2"
    network = fit(run.recipe, data, seed=0).network.eval()  # the same one again
    logits = network(to_pixels(data.holdout.images, run.recipe.pixel_mean, run.recipe.pixel_std))
    labels = torch.as_tensor(data.holdout.labels).long()
    assert result.log_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)


def test_a_rerun_does_only_what_is_missing(results, small_dir, tmp_path):
    output = tmp_path / "mine"
    shutil.copytree(results, output)
    times = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    missing = output / "vanilla+num-epochs=2-seed1.json"
    before = json.loads(missing.read_text())
    missing.unlink()
    result = experiment(small_dir, output)
    assert result.returncode == 0
    assert result.stdout == f"6 of 6 results in {output}\n"
    assert "vanilla+num-epochs=2 seed 1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    after = json.loads(missing.read_text())
    # The same seed, the same network: as a process of its own, or in this one.
    assert after["predictions"] == before["predictions"]
    assert after["commit"] == current_commit()
    for path in output.iterdir():
        assert path == missing or path.stat().st_mtime_ns == times[path.name]


def test_a_run_that_fails_is_reported_and_stops_no_other(small_dir, tmp_path):
    recipes = "sgd+num-epochs=1+learning-rate=1000,sgd+num-epochs=1"
    options = ["--holdout", 100, "--folds", "5"]
    result = experiment(small_dir, tmp_path, *options, recipes=recipes, seeds="0")
    assert_one_line_error(result, "1 runs failed", "non-finite loss at step")
    assert result.stdout.startswith("1 of 2 results")
    (path,) = tmp_path.iterdir()
    assert path.name == "sgd+num-epochs=1+holdout=100+fold=5-seed0.json"
    facts = json.loads(path.read_text())
    assert f"{facts['holdout_accuracy']:.2%}" in result.stderr
    text = run_command("report", tmp_path, "--data-dir", small_dir).stdout
    assert f"{100 * facts['holdout_accuracy']:.3f} (1)" in text
    assert "accuracy on hold-outs of 100 training images" in text


def test_results_are_written_to_a_folder_of_the_experiments_name(results, small_dir, tmp_path):
    shutil.copytree(results, tmp_path / "runs" / "run")
    arguments = ["experiment", "run", "--recipes", RECIPES, "--seeds", "0-2"]
    result = run_command(*arguments, "--data-dir", small_dir, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "6 of 6 results in runs/run\n")
    said = [line for line in result.stderr.splitlines() if "results are kept" not in line]
    assert said == []  # all were there: no run was done


def test_results_of_other_code_are_kept_with_a_warning(data, results, tmp_path, caplog):
    run = Run(find_recipe("decay+num-epochs=2"), 0)
    facts = json.loads((results / run.file_name).read_text())
    for commit, warned in ((40 * "a", "of commit aaaaaaaaaa;"), (None, "")):
        (tmp_path / run.file_name).write_text(json.dumps(facts | {"commit": commit}))
        caplog.clear()
        assert run_experiment([run], tmp_path, data, Options()) == (1, {})
        assert warned in caplog.text
        assert bool(caplog.text) == bool(warned)


@pytest.mark.parametrize("other", [{"processor": "another"}, {"threads": 16}, {"torch": "1.0"}])
def test_results_of_another_machine_are_kept_with_a_warning(data, results, tmp_path, caplog, other):
    run = Run(find_recipe("decay+num-epochs=2"), 0)
    facts = json.loads((results / run.file_name).read_text()) | {"commit": None}
    facts["environment"] |= other
    (tmp_path / run.file_name).write_text(json.dumps(facts))
    assert run_experiment([run], tmp_path, data, Options()) == (1, {})
    assert "of another processor, number of threads or PyTorch" in caplog.text


def test_a_run_that_another_command_has_done_meanwhile_is_not_done_again(data, results):
    run = Run(find_recipe("decay+num-epochs=2"), 0, precision="float32")
    before = (results / run.file_name).read_bytes()
    done = engines._complete(run, data, results, Options(), lambda _share: None)
    assert done.total_seconds == json.loads(before)["total_seconds"]
    assert (results / run.file_name).read_bytes() == before


def test_a_run_s_checkpoints_go_while_it_is_locked(data, tmp_path, monkeypatch):
    run = Run(find_recipe("vanilla+num-epochs=1"), 0, precision="float32")
    released = []
    release = engines.RunDirectory.__exit__
    monkeypatch.setattr(
        engines.RunDirectory,
        "__exit__",
        lambda self, *what: released.append(self.path.exists()) or release(self, *what),
    )
    options = Options(checkpoints=True)
    engines._complete(run, data, tmp_path, options, lambda _share: None)
    assert released == [False]
    assert (tmp_path / run.file_name).exists()


def test_a_kill_loses_only_the_runs_in_progress_and_leaves_no_orphans(small_dir, tmp_path):
    recipes = "vanilla+num-epochs=3,vanilla+num-epochs=30"  # the second is still running
    command = [sys.executable, "-m", "mnist_classification", "experiment", "run"]
    command += ["--recipes", recipes, "--seeds", "0", "--data-dir", str(small_dir)]
    command += ["--output", str(tmp_path), "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert "1 of 2 done" in process.stderr.readline()
    started = descendants(process.pid)
    assert started
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert len(done) == 1
    deadline = time.monotonic() + 30
    while any(map(is_running, started)):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)
    result = experiment(small_dir, tmp_path, recipes=recipes, seeds="0")
    assert result.returncode == 0
    for name, content in done.items():
        assert (tmp_path / name).read_bytes() == content
    assert len(list(tmp_path.glob("*.json"))) == 2


def descendants(pid):
    """Return the processes that a process has started, those that these have, and so on."""
    children = children_of(pid)
    return children + [below for child in children for below in descendants(child)]


def test_a_damaged_file_in_the_way_stops_an_experiment_before_it_begins(data, results, tmp_path):
    run = Run(find_recipe("decay+num-epochs=2"), 0)
    (tmp_path / run.file_name).write_text("{")
    with pytest.raises(ResultError, match=f"{run.file_name.replace('+', '.')}: damaged"):
        run_experiment([run], tmp_path, data, Options())
    shutil.copy(results / run.file_name, tmp_path)
    assert run_experiment([run, run], tmp_path, data, Options()) == (1, {})


def test_a_name_longer_than_a_file_may_have_is_refused_before_anything_is_trained(data, tmp_path):
    fields = (
        *("learning-rate", "filter-learning-rate", "momentum", "label-smoothing", "pixel-mean"),
        *("flip-probability", "gap-probability", "rotation-degrees", "stroke-strength", "shear"),
        *("contrast-share", "noise-share", "scale-share", "warmup-share"),
    )
    run = Run(find_recipe("decay" + "".join(f"+{field}=0.25" for field in fields)), 0)
    assert len(run.file_name) > 255
    with pytest.raises(ResultError, match="file name too long; expected at most 255"):
        run_experiment([run], tmp_path, data, Options())


def test_a_result_of_another_recipe_by_that_name_is_not_taken(data, results, tmp_path):
    run = Run(find_recipe("decay+num-epochs=2"), 0)
    content = json.loads((results / run.file_name).read_text())
    content["recipe"]["batch_size"] = 64
    (tmp_path / run.file_name).write_text(json.dumps(content))
    with pytest.raises(ResultError, match="another recipe of that name or other pretrained"):
        run_experiment([run], tmp_path, data, Options())


def test_the_last_block_and_the_machines_precision_are_settled_before_a_run(data, monkeypatch):
    monkeypatch.setattr(runner, "pick_precision", lambda name, device: f"{name} on {device}")
    settled = runner._settle(Run(find_recipe("sgd"), 0, "auto", 100), data, torch.device("cpu"))
    assert (settled.precision, settled.fold) == ("auto on cpu", 5)  # of 640 images: six blocks


@pytest.mark.parametrize(
    ("timed", "workers", "threads", "expected"),
    [
        (False, None, None, (None, 1)),
        (False, 3, 2, (3, 2)),
        (True, None, None, (1, "cores")),
        (True, 2, 1, (2, 1)),
    ],
)
def test_options_are_one_thread_each_or_the_machine_where_seconds_are_the_point(
    timed, workers, threads, expected
):
    options = choose_options(timed, workers, threads, "cpu")
    many = engines.count_cores() if expected[1] == "cores" else expected[1]
    assert options == Options(expected[0], many, "cpu")


@pytest.mark.parametrize(("workers", "threads"), [(0, None), (-1, 2), (None, 0), (2, -1)])
def test_no_worker_and_no_thread_are_refused(workers, threads):
    with pytest.raises(ExperimentError, match="expected 1 or more"):
        choose_options(False, workers, threads, "cpu")


def test_there_are_as_many_workers_as_there_is_room_for():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert count_workers(Options(), cpu, 8) == 8
    assert count_workers(Options(threads=3), cpu, 8) == 2
    assert count_workers(Options(threads=9), cpu, 8) == 1
    assert count_workers(Options(), gpu, 8) == 1
    assert count_workers(Options(workers=5), gpu, 8) == 5


def test_results_of_this_process_are_loaded_as_any(results, data):
    assert all(len(rows) == 3 for rows in load_results(results.iterdir(), data).values())


def test_a_run_counts_the_images_it_learned_from(small):
    data = set_aside(small, 140)
    run = Run(find_recipe("vanilla+num-epochs=2"), 0, holdout=140)
    result = measure(run, data, Options(device="cpu"))
    assert result.images_seen == 2 * (len(small.train) - 140)
    limited = Run(find_recipe("vanilla+num-epochs=2+images-per-epoch=64"), 0)
    assert measure(limited, small, Options(device="cpu")).images_seen == 2 * 64


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint(small, tmp_path):
    run, options = Run(find_recipe("lr-0.0005+num-epochs=4"), 0), Options(checkpoints=True)

    def stop(share):
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engines._complete(run, small, tmp_path, options, stop)
    (checkpoints,) = (tmp_path / "unfinished").iterdir()
    assert len(list(checkpoints.glob("checkpoint-*"))) == 2
    assert not (tmp_path / run.file_name).exists()

    told = []
    result = engines._complete(run, small, tmp_path, options, told.append)
    assert min(told) > 0.5  # two of four epochs are not done again
    whole = measure(run, small, Options())
    assert result.predictions == whole.predictions
    assert [h["train_loss"] for h in result.history] == [h["train_loss"] for h in whole.history]
    assert load_result(tmp_path / run.file_name, small) == result
    assert result.train_seconds < result.total_seconds  # those before the stop are in both
    assert not any((tmp_path / "unfinished").iterdir())


def test_a_holdout_run_keeps_its_predictions_and_is_judged_on_its_own_block(small, tmp_path):
    data = set_aside(small, 100, 1)
    run = Run(find_recipe("vanilla+num-epochs=1"), 0, holdout=100, fold=1)
    result = measure(run, data, Options(device="cpu"))
    assert run.row == result.row == "vanilla+num-epochs=1+holdout=100+fold=1"
    assert np.array_equal(result.labels(small), small.train.labels[100:200])
    assert result.accuracy == (result.digits == small.train.labels[100:200]).mean()
    save_result(tmp_path / run.file_name, result)
    assert load_result(tmp_path / run.file_name, small).accuracy == result.accuracy
    right = int(np.flatnonzero(result.digits == small.train.labels[100:200])[0])
    digits = list(result.predictions)
    digits[right] = str((int(digits[right]) + 1) % 10)
    wrong = "".join(digits)
    save_result(tmp_path / run.file_name, dataclasses.replace(result, predictions=wrong))
    with pytest.raises(ResultError, match="predictions don't give its accuracy"):
        load_result(tmp_path / run.file_name, small)


def test_the_commit_is_never_that_of_another_repository(tmp_path):
    """As where the package is installed into a virtual environment inside a repository."""
    site = tmp_path / "venv" / "lib"
    copy = site / "mnist_classification"
    shutil.copytree(ROOT / "mnist_classification", copy, ignore=shutil.ignore_patterns("*.gz"))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "theirs.py").write_text("")
    (tmp_path / ".gitignore").write_text("venv\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "theirs"]):
        subprocess.run([*git, *arguments], check=True)
    code = "from mnist_classification.study.runner import current_commit; print(current_commit())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (["--recipes", "decay,decay+network=deper-cnn"], "did you mean 'deeper-cnn'"),
        (["--holdout", "100", "--folds", "0,99"], "got fold 99"),
        (["--holdout", "70000"], "got a hold-out of 70000 images"),
        (["--recipes", "sgd-alexnet", "--pretrained-weights", "no-file"], "can't be read"),
    ],
)
def test_what_no_run_could_be_done_with_is_said_before_the_first(small_dir, tmp_path, wrong, part):
    recipes = [] if "--recipes" in wrong else ["--recipes", "decay"]
    result = run_command(
        *["experiment", "run", *recipes, "--seeds", 0, "--data-dir", small_dir, *wrong],
        *["--output", tmp_path / "new"],
    )
    assert_one_line_error(result, part)
    assert not (tmp_path / "new").exists()


def test_a_late_word_does_not_make_a_finished_run_run_again():
    run = Run(find_recipe("decay"), 0)
    display = runner._Display([run], {})
    for outcome in (0.0, 0.5, "its process died", 0.9):
        display.show(run, outcome)
    assert display.shares == {}
