import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch
from conftest import ROOT, assert_one_line_error, run_command

from mnist_classification.errors import ModelError, RunError
from mnist_classification.files import remove_leftovers, write_atomically
from mnist_classification.recipes import find_recipe
from mnist_classification.run import RunDirectory
from mnist_classification.trained import Trained, load_model
from mnist_classification.training import fit

IDENTITY = {"recipe": {"name": "sgd", "batch_size": 32}, "seed": 0}


class Stop(Exception):  # noqa: N818 (it is no error)
    """Stands for whatever ends a run between two epochs."""


class StopAfter:
    """Progress that ends the run after so many epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def start(self, num_epochs, num_images, epochs_done): ...
    def step(self, images_done, loss): ...

    def epoch(self, record):
        if record["epoch"] == self.epochs:
            raise Stop


def assert_same_weights(first, second):
    for (name, a), b in zip(
        first.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


RESUMABLE = ["vanilla", "decay", "sgd-batch-norm", "sgd-rotation", "half-epoch"]


@pytest.mark.parametrize("name", RESUMABLE)
def test_resumed_equals_uninterrupted_bit_for_bit(small, tmp_path, name):
    recipe = find_recipe(name + "+num-epochs=4")
    straight = fit(recipe, small)
    for stop in (1, 3):
        with pytest.raises(Stop), RunDirectory(tmp_path, IDENTITY, resume=True) as run:
            fit(recipe, small, run=run, progress=StopAfter(stop))
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        resumed = fit(recipe, small, run=run)
        run.finish(resumed, "card")
    assert_same_weights(straight, resumed)
    without_seconds = [{k: v for k, v in r.items() if k != "seconds"} for r in resumed.history]
    assert without_seconds == [
        {k: v for k, v in r.items() if k != "seconds"} for r in straight.history
    ]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == resumed.history
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *[".lock", "README.md", "config.json", "metrics.jsonl", "model.safetensors"]
    ]


def test_model_survives_the_disk(small, tmp_path):
    trained = fit(find_recipe("decay+num-epochs=1"), small, seed=3)
    trained.test_accuracy = 0.5
    trained.save(tmp_path / "a" / "model")
    loaded = load_model(tmp_path / "a" / "model")
    assert_same_weights(trained, loaded)
    assert (loaded.recipe, loaded.seed, loaded.history) == (trained.recipe, 3, trained.history)
    assert loaded.test_accuracy == 0.5
    assert (loaded.predict(small.test.images) == trained.predict(small.test.images)).all()


@pytest.fixture
def model(small, tmp_path):
    Trained(
        fit(find_recipe("baseline"), small).network,
        find_recipe("baseline"),
        seed=0,
        precision="float32",
        data=small.fingerprint,
    ).save(tmp_path / "model")
    return tmp_path / "model"


def edit_config(model, **changes):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda m: shutil.rmtree(m), "no model here"),
        (lambda m: (m / "model.safetensors").unlink(), "no model here.*model.safetensors"),
        (lambda m: (m / "config.json").write_text("{"), "config.json: not JSON"),
        (lambda m: (m / "config.json").write_text("[1]"), "not a model of ours"),
        (lambda m: edit_config(m, recipe=[]), "not a model of ours"),
        (lambda m: (m / "config.json").write_bytes(b"\x80\x04K\x01."), "not JSON"),
        (lambda m: edit_config(m, version=9), "version 9; expected 1"),
        (lambda m: edit_config(m, sha256="0"), "SHA-256"),
        (lambda m: edit_config(m, recipe={"name": "x"}), "not a model of ours"),
        (lambda m: (m / "model.safetensors").write_bytes(b"\x80\x04K\x01."), "SHA-256"),
    ],
)
def test_names_what_is_wrong_with_a_model(model, break_it, message):
    break_it(model)
    with pytest.raises(ModelError, match=message) as error:
        load_model(model)
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_refused(model, small, tmp_path):
    fit(find_recipe("decay+num-epochs=0"), small).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", model)
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    edit_config(model, sha256=config["sha256"])
    with pytest.raises(ModelError, match="not a model of ours"):
        load_model(model)


def interrupted(directory, small, recipe="decay+num-epochs=4", epochs=3, identity=IDENTITY):
    with pytest.raises(Stop), RunDirectory(directory, identity) as run:
        fit(find_recipe(recipe), small, run=run, progress=StopAfter(epochs))


def test_the_newest_two_checkpoints_are_kept(small, tmp_path):
    interrupted(tmp_path, small)
    names = [p.name for p in sorted(tmp_path.glob("checkpoint*"))]
    assert names == ["checkpoint-000002.safetensors", "checkpoint-000003.safetensors"]


@pytest.mark.parametrize("at", [5, 300, 5000, -9, "truncate"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(small, tmp_path, caplog, at):
    interrupted(tmp_path, small)
    newest = tmp_path / "checkpoint-000003.safetensors"
    content = bytearray(newest.read_bytes())
    if at == "truncate":
        content = content[: len(content) // 2]
    else:
        content[at] ^= 0x55
    newest.write_bytes(content)
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        trained = fit(find_recipe("decay+num-epochs=4"), small, run=run)
    assert "checkpoint-000003.safetensors: damaged" in caplog.text
    assert_same_weights(trained, fit(find_recipe("decay+num-epochs=4"), small))


def test_no_whole_checkpoint_is_an_error(small, tmp_path):
    interrupted(tmp_path, small)
    for path in tmp_path.glob("checkpoint*"):
        path.write_bytes(b"nothing")
    with (
        pytest.raises(RunError, match="no checkpoint is whole; --overwrite"),
        RunDirectory(tmp_path, IDENTITY, resume=True),
    ):
        pass


def test_resuming_another_run_is_refused_and_the_difference_named(small, tmp_path):
    interrupted(tmp_path, small)
    other = {"recipe": {"name": "sgd", "batch_size": 64}, "seed": 1}
    with (
        pytest.raises(RunError, match=r"recipe\.batch_size is 32 there and 64 here; seed is 0"),
        RunDirectory(tmp_path, other, resume=True),
    ):
        pass


def test_an_unfinished_run_is_not_overwritten_unasked(small, tmp_path):
    interrupted(tmp_path, small)
    with (
        pytest.raises(RunError, match="unfinished run; --resume continues it, --overwrite"),
        RunDirectory(tmp_path, IDENTITY),
    ):
        pass
    with RunDirectory(tmp_path, IDENTITY, overwrite=True) as run:
        assert run.checkpoints() == []


def test_a_finished_run_is_replaced_with_a_word(small, tmp_path, caplog):
    trained = fit(find_recipe("baseline"), small)
    with RunDirectory(tmp_path, IDENTITY) as run:
        run.finish(trained, "card")
    assert caplog.text == ""
    with RunDirectory(tmp_path, IDENTITY):
        assert "replacing the finished run" in caplog.text
    with (
        pytest.raises(RunError, match="finished, nothing to resume"),
        RunDirectory(tmp_path, IDENTITY, resume=True),
    ):
        pass


def test_somebody_elses_readme_is_not_replaced(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(RunError, match="holds a README"), RunDirectory(tmp_path, IDENTITY):
        pass


def test_resume_and_overwrite_exclude_each_other(small, tmp_path):
    interrupted(tmp_path, small)
    with (
        pytest.raises(RunError, match="expected one of them"),
        RunDirectory(tmp_path, IDENTITY, resume=True, overwrite=True),
    ):
        pass
    assert len(list(tmp_path.glob("checkpoint*"))) == 2


def test_the_second_training_in_one_directory_is_refused(tmp_path):
    with (
        RunDirectory(tmp_path, IDENTITY),
        pytest.raises(RunError, match="another process is training there"),
        RunDirectory(tmp_path, IDENTITY),
    ):
        pass
    with RunDirectory(tmp_path, IDENTITY):
        pass  # and the lock was given back


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nothing"):
        with pytest.raises(RunError, match="can't make folder"), RunDirectory(path, IDENTITY):
            pass


def test_a_full_disk_leaves_the_old_checkpoint_whole(small, tmp_path):
    """A limit on file sizes makes the write fail half-way, as a full disk does."""
    interrupted(tmp_path, small, epochs=2)
    before = {p.name: p.read_bytes() for p in tmp_path.glob("checkpoint*")}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with (
            pytest.raises(RunError, match=os.strerror(errno.EFBIG) + "; nothing was replaced"),
            RunDirectory(tmp_path, IDENTITY, resume=True) as run,
        ):
            fit(find_recipe("decay+num-epochs=4"), small, run=run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert {p.name: p.read_bytes() for p in tmp_path.glob("checkpoint*")} == before
    assert not list(tmp_path.glob(".mnist*"))
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        trained = fit(find_recipe("decay+num-epochs=4"), small, run=run)
    assert_same_weights(trained, fit(find_recipe("decay+num-epochs=4"), small))


def test_leftovers_of_a_killed_save_are_removed_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "config.json", "{}")
    (tmp_path / ".lock").touch()
    (tmp_path / ".env.template").touch()
    (tmp_path / ".mnist-classification-ab12cd_4").touch()
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".env.template", ".lock", "config.json"]


def train_command(small_dir, output, *more, epochs=12):
    return [
        *[sys.executable, str(ROOT / "train.py"), "--data-dir", str(small_dir)],
        *["--output", str(output), "--num-epochs", str(epochs), *more],
    ]


def test_killed_again_and_again_and_resumed_gives_the_same_bits(small_dir, tmp_path):
    subprocess.run(train_command(small_dir, tmp_path / "straight"), check=True, capture_output=True)
    choose = random.Random(0)
    kills = 0
    for _ in range(40):
        process = subprocess.Popen(
            train_command(small_dir, tmp_path / "killed", "--resume"),
            stderr=subprocess.PIPE,
            text=True,
        )
        # Wait until it trains, then a random moment: in an epoch or in a save.
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        time.sleep(choose.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if kills == 4 or (tmp_path / "killed" / "config.json").exists():
            break
    assert kills >= 1
    if not (tmp_path / "killed" / "config.json").exists():
        command = train_command(small_dir, tmp_path / "killed", "--resume")
        subprocess.run(command, check=True, capture_output=True)
    straight, resumed = (
        safetensors.torch.load_file(tmp_path / name / "model.safetensors")
        for name in ("straight", "killed")
    )
    for name, tensor in straight.items():
        assert torch.equal(tensor, resumed[name]), name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_polite_stop_says_how_to_resume(small_dir, tmp_path, number, code):
    command = train_command(small_dir, tmp_path / "run", epochs=1000)
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them, and us, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.startswith("epoch 2"):
            break
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith(f"stopped; continue with: python3 {ROOT / 'train.py'} --data-dir")
    assert last.endswith("--resume")
    assert list((tmp_path / "run").glob("checkpoint-*"))


def test_the_command_refuses_a_second_training_and_an_unwritable_output(small_dir, tmp_path):
    with RunDirectory(tmp_path / "run", IDENTITY):
        result = run_command("train", "--data-dir", small_dir, "--output", tmp_path / "run")
    assert_one_line_error(result, "another process is training there")
    result = run_command("train", "--data-dir", small_dir, "--output", "/proc/x")
    assert_one_line_error(result, "can't make folder /proc/x")
