"""The same experiment on Ray: the same files, and one line where there is no cluster."""

import contextlib
import json
import os
import socket
import sys
import threading
import time

import pytest
from conftest import assert_one_line_error, run_command

from mnist_classification.data import load_mnist, set_aside
from mnist_classification.errors import ExperimentError
from mnist_classification.recipes import find_recipe
from mnist_classification.study import engines
from mnist_classification.study.engines import ENGINES, Options, choose_options, measure
from mnist_classification.study.experiments import Run
from mnist_classification.study.results import Result, load_result
from mnist_classification.study.runner import current_commit, run_experiment

ray = pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-dev.txt")

GOOD = find_recipe("vanilla+num-epochs=1")
BAD = find_recipe("sgd+learning-rate=1000.0+num-epochs=1")


@pytest.fixture(scope="module")
def data(small_dir):
    return load_mnist(small_dir)


@pytest.fixture(scope="module")
def on_ray(data, tmp_path_factory):
    """A folder of results from Ray: three runs, one of which was there and one of which fails.

    The environment names a cluster that is gone, which is not to be waited for.
    """
    folder = tmp_path_factory.mktemp("ray")
    runs = [Run(GOOD, 0), Run(GOOD, 1, holdout=100), Run(BAD, 0)]
    options = Options(workers=2, engine="ray")
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = "127.0.0.1:1"
    try:
        _, failures = run_experiment(runs, folder, data, options)
    finally:
        os.environ.pop("RAY_ADDRESS")
        if before:
            os.environ["RAY_ADDRESS"] = before
    return folder, failures


def test_ray_leaves_the_results_that_this_process_gives(on_ray, data):
    folder, _ = on_ray
    options = Options(commit=current_commit())
    runs = [Run(GOOD, 0), Run(GOOD, 1, holdout=100, fold=5)]  # the last block of 640 images
    assert {path.name for path in folder.iterdir()} == {run.file_name for run in runs}
    for run in runs:
        theirs = load_result(folder / run.file_name, data)
        ours = measure(run, set_aside(data, run.holdout, run.fold), options)
        assert theirs.predictions == ours.predictions  # the same bits
        assert (theirs.commit, theirs.environment) == (ours.commit, ours.environment)


def test_a_run_that_fails_on_ray_stops_no_other(on_ray):
    _, failures = on_ray
    (reason,) = failures.values()
    assert "non-finite loss" in reason


def test_what_is_done_needs_no_cluster(on_ray, data):
    folder, _ = on_ray
    nowhere = Options(engine="ray", address="127.0.0.1:1")
    assert run_experiment([Run(GOOD, 0)], folder, data, nowhere) == (1, {})


def test_a_task_writes_only_into_the_folder_that_is_meant(data, tmp_path, monkeypatch):
    class Board:
        class tell:  # noqa: N801
            remote = staticmethod(lambda *_: None)

    monkeypatch.setattr(engines, "use_threads", lambda _: None)
    mark = tmp_path / "mark"
    rest = (mark, Options(), engines.code_version(), Board, 1.0)
    alone = engines._work_on_ray(data, Run(GOOD, 0), 0, *rest)
    assert isinstance(alone, Result)
    assert list(tmp_path.iterdir()) == []
    mark.touch()
    shared = engines._work_on_ray(data, Run(GOOD, 0), 0, *rest)
    (file,) = tmp_path.glob("*.json")
    assert load_result(file, data) == shared
    # What a machine wrote before it died is not done again.
    text = file.read_text().replace(
        f'"total_seconds": {shared.total_seconds}', '"total_seconds": 7.0'
    )
    file.write_text(text)
    assert engines._work_on_ray(data, Run(GOOD, 0), 0, *rest).total_seconds == 7.0
    other = (mark, Options(), "another version", Board, 1.0)
    assert "expected another version" in engines._work_on_ray(data, Run(GOOD, 0), 0, *other)


def test_the_engine_tells_of_every_run_and_kills_what_is_left(data, tmp_path):
    events = ENGINES["local"]([Run(GOOD, 0), Run(GOOD, 1)], data, tmp_path, Options(workers=1))
    assert next(events) == (Run(GOOD, 0), 0.0)
    outcome = next(outcome for _, outcome in events if not isinstance(outcome, float))
    assert outcome.seed == 0
    events.close()
    assert [json.loads(path.read_text())["seed"] for path in tmp_path.glob("*.json")] == [0]


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """Return a frame of HTTP/2."""
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def refusal(status: str) -> bytes:
    """Return how a gRPC server refuses: 12 for a method it has not, 16 for want of a token."""
    fields = {":status": "200", "content-type": "application/grpc", "grpc-status": status}
    texts = (text.encode() for pair in fields.items() for text in pair)
    coded = [bytes([len(text)]) + text for text in texts]
    headers = b"".join(
        b"\0" + name + value for name, value in zip(coded[::2], coded[1::2], strict=True)
    )
    return frame(1, 5, 1, headers)


@pytest.mark.parametrize(
    ("answer", "says"),
    [(b"", "does not answer"), (refusal("12"), "else answers"), (refusal("16"), "wants a token")],
)
def test_an_address_that_is_no_cluster_gets_one_line_in_time(answer, says, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    # A busy machine may take longer to hear an answer.
    monkeypatch.setattr(engines, "PATIENCE", 60 if answer else 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    talk(connection)

        def talk(connection):
            with contextlib.suppress(OSError):
                while connection.recv(65536) and answer:
                    connection.sendall(frame(4, 0, 0) + frame(4, 1, 0))
                    time.sleep(0.2)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(ExperimentError, match=rf"{says}.*; expected ") as error:
            engines._connect(Options(engine="ray", address=f"{host}:{port}"))
        assert answer or time.monotonic() - started < 10
        assert "\n" not in str(error.value)


def test_an_unreachable_address_ends_the_command_with_one_line(small_dir, tmp_path):
    started = time.monotonic()
    result = run_command(
        *["experiment", "run", "--recipes", GOOD.name, "--seeds", 0, "--data-dir", small_dir],
        *["--output", tmp_path, "--engine", "ray", "--address", "127.0.0.1:1"],
    )
    assert_one_line_error(result, "127.0.0.1:1, which does not answer", "expected HOST:PORT")
    assert time.monotonic() - started < 60  # the start of a busy machine's processes included
    assert list(tmp_path.iterdir()) == []


def test_options_that_make_no_sense(monkeypatch):
    with pytest.raises(ExperimentError, match="unknown engine 'rya'; did you mean 'ray'"):
        choose_options(False, None, None, "cpu", "rya")
    with pytest.raises(ExperimentError, match="got an address for engine local; expected --engine"):
        choose_options(False, None, None, "cpu", "local", "127.0.0.1:6379")
    assert choose_options(True, None, None, "cpu").workers == 1
    assert choose_options(True, None, None, "cpu", "ray").workers is None
    with pytest.raises(ExperimentError, match="got no --threads; expected as many as each"):
        choose_options(True, None, None, "cpu", "ray", "127.0.0.1:6379")
    assert choose_options(True, None, 8, "cpu", "ray", "127.0.0.1:6379").threads == 8
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExperimentError, match=r"not installed.*pip install"):
        engines._connect(Options(engine="ray"))
