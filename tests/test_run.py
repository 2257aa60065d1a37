import errno
import json
import os
import random
import resource
import shutil
import signal
import time

import forked
import pytest
import safetensors.torch
import torch
from conftest import ROOT, assert_one_line_error, assert_same_weights, run_command

import mnist_classification
from mnist_classification.data import Mnist
from mnist_classification.device import environment
from mnist_classification.errors import RunError
from mnist_classification.recipes import find_recipe, replace
from mnist_classification.run import RunDirectory, code_version, identify
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


RESUMABLE = [
    *["vanilla", "decay", "sgd-batch-norm", "sgd-rotation", "half-epoch"],
    "decay+images-per-epoch=24+sampling=importance",
]


@pytest.fixture(scope="module")
def tiny(mnist) -> Mnist:
    """64 training images: what is resumed does not have to be good."""
    return Mnist(mnist.train[:64], None, mnist.test[:64], mnist.sha256, mnist.directory)


@pytest.fixture(scope="module")
def straight(tiny):
    """What an uninterrupted run gives."""
    return fit(find_recipe("decay+num-epochs=4"), tiny)


@pytest.mark.parametrize("name", RESUMABLE)
def test_resumed_equals_uninterrupted_bit_for_bit(tiny, tmp_path, name):
    recipe = find_recipe(name + "+num-epochs=4")
    straight = fit(recipe, tiny)
    for stop in (1, 3):
        with pytest.raises(Stop), RunDirectory(tmp_path, IDENTITY, resume=True) as run:
            fit(recipe, tiny, run=run, progress=StopAfter(stop))
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        resumed = fit(recipe, tiny, run=run)
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


def interrupted(directory, tiny, recipe="decay+num-epochs=4", epochs=3, identity=IDENTITY):
    with pytest.raises(Stop), RunDirectory(directory, identity) as run:
        fit(find_recipe(recipe), tiny, run=run, progress=StopAfter(epochs))


def test_a_resumed_run_does_not_keep_its_checkpoint_in_memory(tiny, tmp_path):
    interrupted(tmp_path, tiny)
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        assert run.state is not None
        assert len(fit(find_recipe("decay+num-epochs=4"), tiny, run=run).history) == 4
        assert run.state is None


def test_the_newest_two_checkpoints_are_kept(tiny, tmp_path):
    interrupted(tmp_path, tiny)
    names = [p.name for p in sorted(tmp_path.glob("checkpoint*"))]
    assert names == ["checkpoint-000002.safetensors", "checkpoint-000003.safetensors"]


@pytest.mark.parametrize("at", [5, 300, 5000, -9, "truncate"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    tiny, straight, tmp_path, caplog, at
):
    interrupted(tmp_path, tiny)
    newest = tmp_path / "checkpoint-000003.safetensors"
    content = bytearray(newest.read_bytes())
    if at == "truncate":
        content = content[: len(content) // 2]
    else:
        content[at] ^= 0x55
    newest.write_bytes(content)
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        trained = fit(find_recipe("decay+num-epochs=4"), tiny, run=run)
    assert "checkpoint-000003.safetensors: damaged" in caplog.text
    assert_same_weights(trained, straight)


def test_no_whole_checkpoint_is_an_error(tiny, tmp_path):
    interrupted(tmp_path, tiny)
    for path in tmp_path.glob("checkpoint*"):
        path.write_bytes(b"nothing")
    with (
        pytest.raises(RunError, match="no checkpoint is whole; delete them"),
        RunDirectory(tmp_path, IDENTITY, resume=True),
    ):
        pass


def test_resuming_another_run_is_refused_and_the_difference_named(tiny, tmp_path):
    interrupted(tmp_path, tiny)
    other = {"recipe": {"name": "sgd", "batch_size": 64}, "seed": 1}
    with (
        pytest.raises(RunError, match=r"recipe\.batch_size is 32 there and 64 here; seed is 0"),
        RunDirectory(tmp_path, other, resume=True),
    ):
        pass


def test_an_unfinished_run_is_not_overwritten_unasked(tiny, tmp_path):
    interrupted(tmp_path, tiny)
    with (
        pytest.raises(RunError, match="unfinished run; --resume continues it, --overwrite"),
        RunDirectory(tmp_path, IDENTITY),
    ):
        pass
    with RunDirectory(tmp_path, IDENTITY, overwrite=True) as run:
        assert run.checkpoints() == []


@pytest.fixture
def finished(tiny, tmp_path):
    """What a finished run was, and its directory."""
    identity = identify_run(tiny)
    with RunDirectory(tmp_path / "finished", identity) as run:
        run.finish(fit(find_recipe("baseline"), tiny, precision="float32"), "card")
    return identity, tmp_path / "finished"


def identify_run(data, seed=0, **machine):
    where = environment(torch.device("cpu")) | machine
    return identify(find_recipe("baseline"), seed, data, "float32", None, where)


def test_a_finished_run_is_replaced_with_a_word(finished, caplog):
    identity, directory = finished
    assert caplog.text == ""
    with RunDirectory(directory, identity):
        assert "replacing the finished run" in caplog.text
    with (
        pytest.raises(RunError, match="finished, nothing to resume"),
        RunDirectory(directory, identity, resume=True),
    ):
        pass


def test_a_model_of_another_run_is_not_replaced_unasked(tiny, finished):
    _, directory = finished
    with (
        pytest.raises(RunError, match="holds a model of another seed; --overwrite replaces it"),
        RunDirectory(directory, identify_run(tiny, seed=1)),
    ):
        pass
    with RunDirectory(directory, identify_run(tiny, seed=1), overwrite=True):
        pass
    with RunDirectory(directory, identify_run(tiny, processor="another", threads=99)):
        pass  # the machine is not what was meant


@pytest.mark.parametrize("content", ["[1]", "{", "\x80"])
def test_a_damaged_model_is_not_replaced_unasked_either(finished, content):
    identity, directory = finished
    (directory / "config.json").write_text(content, encoding="latin-1")
    with (
        pytest.raises(RunError, match=r"holds a model of another recipe, seed.*--overwrite"),
        RunDirectory(directory, identity),
    ):
        pass


def test_a_finish_that_fails_leaves_a_directory_to_train_into(tiny, tmp_path, monkeypatch):
    trained = fit(find_recipe("baseline"), tiny)
    monkeypatch.setattr("mnist_classification.trained.write_together", fail)
    with pytest.raises(OSError, match="no space"), RunDirectory(tmp_path, IDENTITY) as run:
        run.finish(trained, "card")
    monkeypatch.undo()
    with RunDirectory(tmp_path, IDENTITY) as run:
        run.finish(trained, "card")
    assert (tmp_path / "README.md").read_text() == "card"


def fail(*_):
    raise OSError("no space")


@pytest.mark.parametrize("name", ["README.md", "model.safetensors"])
def test_somebody_elses_file_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=f"holds a {name}"), RunDirectory(tmp_path, IDENTITY):
        pass


def test_resume_and_overwrite_exclude_each_other(tiny, tmp_path):
    interrupted(tmp_path, tiny)
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
    with (
        pytest.raises(RunError, match="can't make folder"),
        RunDirectory(tmp_path / "file", IDENTITY),
    ):
        pass


def test_identity_is_what_decides_the_bits(tiny):
    recipe, where = find_recipe("decay"), environment(torch.device("cpu"))
    same = (recipe, 0, tiny, "float32", None, where)
    identity = identify(*same)
    assert identify(*same) == identity == json.loads(json.dumps(identity))
    held = Mnist(tiny.train, tiny.test, tiny.test, tiny.sha256, tiny.directory)
    other = Mnist(tiny.train, None, tiny.test, {"a": "0"}, tiny.directory)
    for place, value in [
        *[(0, replace(recipe, "decay", shift_pixels=1)), (1, 1), (2, held), (2, other)],
        *[(3, "bfloat16"), (4, "a checksum"), (5, where | {"threads": 99})],
        *[(5, where | {"torch": "1.0"}), (5, where | {"device": "a GPU"})],
    ]:
        assert identify(*same[:place], value, *same[place + 1 :]) != identity
    assert identify(*same[:5], where | {"cores": 99}) == identity


def test_a_full_disk_leaves_the_old_checkpoint_whole(tiny, straight, tmp_path):
    """A limit on file sizes makes the write fail half-way, as a full disk does."""
    interrupted(tmp_path, tiny, epochs=2)
    before = {p.name: p.read_bytes() for p in tmp_path.glob("checkpoint*")}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with (
            pytest.raises(RunError, match=os.strerror(errno.EFBIG) + "; nothing was replaced"),
            RunDirectory(tmp_path, IDENTITY, resume=True) as run,
        ):
            fit(find_recipe("decay+num-epochs=4"), tiny, run=run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert {p.name: p.read_bytes() for p in tmp_path.glob("checkpoint*")} == before
    assert not list(tmp_path.glob(".mnist*"))
    with RunDirectory(tmp_path, IDENTITY, resume=True) as run:
        trained = fit(find_recipe("decay+num-epochs=4"), tiny, run=run)
    assert_same_weights(trained, straight)


def test_killed_again_and_again_and_resumed_gives_the_same_bits(small_dir, tmp_path):
    arguments = ["--data-dir", small_dir, "--num-epochs", 8, "--images-per-epoch", 320, "--output"]
    assert run_command("train", *arguments, tmp_path / "straight").returncode == 0
    choose = random.Random(0)
    kills = 0
    for _ in range(20):
        process, said = forked.train(*arguments, tmp_path / "killed", "--resume")
        # Wait until it trains, then a random moment: in an epoch or in a save.
        for line in said:
            if line.startswith("epoch"):
                break
        time.sleep(choose.uniform(0, 0.1))
        process.kill()
        process.join()
        said.close()
        kills += process.exitcode == -signal.SIGKILL
        if kills == 2 or (tmp_path / "killed" / "config.json").exists():
            break
    assert kills >= 1
    if not (tmp_path / "killed" / "config.json").exists():
        assert run_command("train", *arguments, tmp_path / "killed", "--resume").returncode == 0
    straight, resumed = (
        safetensors.torch.load_file(tmp_path / name / "model.safetensors")
        for name in ("straight", "killed")
    )
    for name, tensor in straight.items():
        assert torch.equal(tensor, resumed[name]), name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_polite_stop_says_how_to_resume(small_dir, tmp_path, number, code):
    process, said = forked.train(
        *["--data-dir", small_dir, "--output", tmp_path / "run", "--num-epochs", 1000]
    )
    with said:
        for line in said:
            if line.startswith("epoch 2"):
                break
        os.kill(process.pid, number)
        rest = said.read()
    process.join(60)
    assert process.exitcode == code
    assert "Traceback" not in rest
    last = rest.splitlines()[-1]
    assert last.startswith(f"stopped; continue with: python3 {ROOT / 'train.py'} --data-dir")
    assert last.endswith("--resume")
    assert list((tmp_path / "run").glob("checkpoint-*"))


def test_the_command_refuses_a_second_training_and_an_unwritable_output(small_dir, tmp_path):
    with RunDirectory(tmp_path / "run", IDENTITY):
        result = run_command("train", "--data-dir", small_dir, "--output", tmp_path / "run")
    assert_one_line_error(result, "another process is training there")
    result = run_command("train", "--data-dir", small_dir, "--output", "/proc/x")
    assert_one_line_error(result, "can't make folder /proc/x")


def test_code_and_processor_are_part_of_what_a_run_is(small, tmp_path, monkeypatch):
    recipe = find_recipe("vanilla")
    here = environment(torch.device("cpu"))
    identity = identify(recipe, 0, small, "float32", None, here)
    assert identity["processor"] == here["processor"]
    assert identity["code"] == code_version()
    assert code_version().startswith(mnist_classification.__version__)
    for file in (ROOT / "mnist_classification").glob("*.py"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr("mnist_classification.run.__file__", str(tmp_path / "run.py"))
    versions = {code_version()}
    assert versions == {identity["code"]}
    for module in ("training.py", "layers.py", "convolution.py"):
        (tmp_path / module).write_text((tmp_path / module).read_text() + "\n# changed\n")
        versions.add(code_version())
    assert len(versions) == 4


def test_metrics_of_something_else_are_kept(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "loss": 2}\n')
    with pytest.raises(RunError, match=r"metrics.jsonl of something else"):
        RunDirectory(tmp_path, IDENTITY).__enter__()
    metrics.write_text('{"epoch": 1, "train_loss": 2}\n')  # of a run that broke off
    with RunDirectory(tmp_path, IDENTITY):
        pass


def test_a_lock_that_cannot_be_had_is_said_in_one_line(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(RunError, match=r"\.lock: can't be locked: .*; try another --output"):
        RunDirectory(tmp_path, IDENTITY).__enter__()
