"""Where an experiment's runs are computed: in processes of this machine, or on a Ray cluster.

    for run, outcome in ENGINES["local"](runs, load_mnist(), Path("runs/ladder"), Options()):
        ...

An engine does the runs and yields, as it goes, a run with the share of its training that is done,
at last with its result or with what went wrong. Whoever does a run writes its result file, so that
nothing that is done is lost with the process that asked for it. Experiments know nothing else.
"""

import hashlib
import importlib.util
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..alexnet import load_pretrained
from ..cores import count_cores
from ..data import Mnist, load_mnist, set_aside
from ..device import environment, keep_freed_memory, pick_device, use_threads
from ..errors import ExperimentError, MnistError, unknown
from ..run import CHECKPOINTS, RunDirectory, code_version, identify
from ..sampling import epoch_size
from ..trained import file_checksum
from ..training import fit
from .experiments import Run
from .results import Result, load_result, save_result

MARK = ".mnist-cluster-"  # how the name of the file begins by which a folder is known
RETRIES = 3  # of a run whose process or machine died
TINY = float(np.finfo(np.float32).tiny)  # a probability of 0 would make the mean log-loss infinite
PATIENCE = 4.0  # seconds for a cluster's head to answer, with the start of a process that asks
Outcome = float | Result | str
Engine = Callable[[Sequence[Run], Mnist, Path, "Options"], Iterator[tuple[Run, Outcome]]]


@dataclass(frozen=True)
class Options:
    """How runs are done, the same for all of an experiment.

    Attributes:
        workers: runs at a time; None for as many as the cores have room for, one on a GPU.
        threads: per run.
        engine: by its name in ENGINES.
        address: of a Ray cluster; None for one that lives as long as the experiment.
        commit: of the code that runs, for the results.
        checkpoints: after each epoch, so that a run that was stopped goes on from there.
    """

    workers: int | None = None
    threads: int = 1
    device: str = "auto"
    engine: str = "local"
    address: str | None = None
    commit: str | None = None
    checkpoints: bool = False


def choose_options(
    timed: bool,
    workers: int | None,
    threads: int | None,
    device: str,
    engine: str = "local",
    address: str | None = None,
    checkpoints: bool = False,
) -> Options:
    """Return how runs are done: by default one thread each, or all of them where time is the point.

    Raises:
        ExperimentError: there would be no worker or no thread, there is no such engine, or it is
            not said how many threads a machine of a cluster has.
    """
    if engine not in ENGINES:
        raise ExperimentError(unknown("engine", engine, ENGINES))
    if address and engine != "ray":
        raise ExperimentError(f"got an address for engine {engine}; expected --engine ray")
    if timed and workers is None and engine == "local":
        workers = 1  # on a cluster, that a run takes all cores keeps others off its machine
    if timed and threads is None and address:
        raise ExperimentError(
            "got no --threads; expected as many as each machine of the cluster has cores: seconds "
            "are the point of this experiment, and a run must have a machine to itself"
        )
    if threads is None:
        threads = count_cores() if timed else 1
    if threads < 1 or (workers is not None and workers < 1):
        raise ExperimentError(f"got {workers} workers of {threads} threads; expected 1 or more")
    return Options(workers, threads, device, engine, address, checkpoints=checkpoints)


def measure(
    run: Run,
    data: Mnist,
    options: Options,
    progress: Any = None,
    directory: RunDirectory | None = None,
) -> Result:
    """Train and test once, in this process.

    Args:
        directory: for checkpoints; where it holds one, the run goes on, and the seconds until then
            are counted.
    """
    before = directory.state[1][-1]["seconds"] if directory and directory.state else 0.0
    started = time.perf_counter() - before
    trained = fit(
        run.recipe,
        data,
        seed=run.seed,
        device=options.device,
        precision=run.precision,
        weights=load_pretrained(run.pretrained_weights, run.recipe.network),
        run=directory,
        progress=progress,
    )
    judged = data.holdout or data.test  # who chooses, must not know how the test set comes out
    probabilities = trained.predict(judged.images)
    digits = probabilities.argmax(axis=1)
    total_seconds = time.perf_counter() - started
    of_labels = probabilities[np.arange(len(digits)), judged.labels]
    accuracy = float(np.mean(digits == judged.labels))
    epoch_images = epoch_size(run.recipe.images_per_epoch, len(data.train))
    return Result(
        recipe=run.recipe,
        seed=run.seed,
        precision=trained.precision,
        data=data.fingerprint,
        holdout=trained.holdout,
        fold=trained.fold,
        images_seen=run.recipe.num_epochs * epoch_images,
        test_accuracy=None if data.holdout else accuracy,
        holdout_accuracy=accuracy if data.holdout else None,
        predictions="".join(map(str, digits)),
        log_loss=float(-np.log(np.maximum(of_labels, TINY)).mean()),
        test_precision=trained.precision,
        train_seconds=trained.history[-1]["seconds"] if trained.history else 0.0,
        total_seconds=total_seconds,
        history=trained.history,
        environment=environment(pick_device(options.device)),
        commit=options.commit,
        pretrained_weights=file_checksum(run.pretrained_weights),
    )


def _complete(
    run: Run, data: Mnist, folder: Path | None, options: Options, tell: Callable[[float], None]
) -> Result | str:
    """Do one run and write its result; return that, or what went wrong.

    Args:
        data: nothing set aside.
        folder: of results; None where this machine does not see it.
        tell: is called now and then with the share of the training that is done.
    """
    try:
        use_threads(options.threads)
        keep_freed_memory()
        # The first optimizer imports half of PyTorch, which belongs to the start of a process.
        torch.optim.SGD([torch.zeros(1)])
        part = set_aside(data, run.holdout, run.fold)
        unfinished = _open(run, part, options, folder) if folder and options.checkpoints else None
        with unfinished or nullcontext():
            if folder and (folder / run.file_name).exists():  # by another command
                return load_result(folder / run.file_name, data)
            result = measure(run, part, options, _Telling(tell), unfinished)
            if folder:
                save_result(folder / run.file_name, result)
            if unfinished:  # while it is locked: nobody else's by the time that it goes
                shutil.rmtree(unfinished.path, ignore_errors=True)
    except MnistError as error:
        return str(error)
    return result


def _open(run: Run, data: Mnist, options: Options, folder: Path) -> RunDirectory:
    """Return where a run leaves its checkpoints, and from which it goes on.

    It is named by a digest of all that bits depend on, so that what another machine has begun is
    not in the way, and goes on there.
    """
    where = environment(pick_device(options.device))
    weights = file_checksum(run.pretrained_weights)
    identity = identify(run.recipe, run.seed, data, run.precision, weights, where)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / "unfinished" / f"{run.recipe.name[:100]}-seed{run.seed}-{digest}"
    return RunDirectory(path, identity, resume=any(path.glob(CHECKPOINTS)))


class _Telling:
    """The progress of a run, told as one number."""

    def __init__(self, tell: Callable[[float], None]):
        self.tell = tell

    def start(self, num_epochs: int, num_images: int, epochs_done: int) -> None:
        self.num_epochs, self.num_images, self.epochs_done = num_epochs, num_images, epochs_done

    def step(self, images_done: int, loss: Tensor) -> None:
        self.tell((self.epochs_done + images_done / self.num_images) / self.num_epochs)

    def epoch(self, record: dict[str, Any]) -> None:
        self.epochs_done = record["epoch"]


def _at_most_every(seconds: float, tell: Callable[[float], None]) -> Callable[[float], None]:
    """Return the function, deaf to calls that come too soon after one that it heard."""
    told = 0.0

    def tell_rarely(share: float) -> None:
        nonlocal told
        if time.perf_counter() - told > seconds:
            told = time.perf_counter()
            tell(share)

    return tell_rarely


# Processes of this machine.


@dataclass
class _Job:
    """A run in progress: its process, and our end of its pipe."""

    run: Run
    process: Any
    pipe: Connection


def local(
    runs: Sequence[Run], data: Mnist, folder: Path, options: Options
) -> Iterator[tuple[Run, Outcome]]:
    """Do each run in a process of its own, as many at a time as there are cores."""
    waiting, jobs = list(runs), list[_Job]()
    workers = count_workers(options, pick_device(options.device), count_cores())
    try:
        while waiting or jobs:
            while waiting and len(jobs) < workers:
                jobs.append(_start(waiting.pop(0), data.directory, folder, options))
                yield jobs[-1].run, 0.0
            ready = wait([job.pipe for job in jobs], timeout=1.0)
            for job in [job for job in jobs if job.pipe in ready]:
                outcome = _receive(job)
                if not isinstance(outcome, float):
                    jobs.remove(job)
                    job.process.join()
                yield job.run, outcome
    finally:
        for job in jobs:
            job.process.kill()


def count_workers(options: Options, device: torch.device, cores: int) -> int:
    """Return how many processes there is room for, if it is not said: one where it is a GPU."""
    return options.workers or (1 if device.type == "cuda" else max(1, cores // options.threads))


def _start(run: Run, data_dir: Path, folder: Path, options: Options) -> _Job:
    """Start the run in a process of its own.

    It is forked from one that has imported PyTorch and computed nothing: a fork of this process
    would copy its threads half.
    """
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # of which optimizers make use
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(theirs, run, data_dir, folder, options), daemon=True
    )
    process.start()
    theirs.close()  # so that a process that dies is an end of file here
    return _Job(run, process, ours)


def _receive(job: _Job) -> Outcome:
    try:
        return job.pipe.recv()
    except (EOFError, OSError):  # before a message, or in the middle of one
        job.process.join()
        return f"its process died (exit code {job.process.exitcode}); out of memory?"


def _work(pipe: Connection, run: Run, data_dir: Path, folder: Path, options: Options) -> None:
    """Do one run and send what came of it; the body of a worker process."""
    try:
        tell = _at_most_every(1.0, pipe.send)
        pipe.send(_complete(run, load_mnist(data_dir), folder, options, tell))
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # the parent is stopping, or gone
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


# A Ray cluster.


def on_ray(
    runs: Sequence[Run], data: Mnist, folder: Path, options: Options
) -> Iterator[tuple[Run, Outcome]]:
    """Do each run as a Ray task, on any machine that has its cores, or its share of a GPU, free.

    A run whose process or machine dies is done again. The data is put into the cluster once.
    """
    ray = _connect(options)
    folder = folder.resolve()
    pending: dict[Any, Run] = {}
    waiting = list(runs)
    try:
        resources, at_a_time = _ask_for(ray, options)
        task = ray.remote(_work_on_ray).options(max_retries=RETRIES, **resources)
        board = _make_board(ray)
        # Who finds this file sees our folder, and not one of its own by the same name.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=MARK) as mark:
            shared = ray.put(data)
            same = (Path(mark.name), options, code_version(), board, max(1.0, len(runs) / 100))
            while waiting or pending:
                while waiting and len(pending) < (at_a_time or len(runs)):
                    number = len(runs) - len(waiting)
                    pending[task.remote(shared, waiting.pop(0), number, *same)] = runs[number]
                enough = 1 if waiting else len(pending)
                done, _ = ray.wait(list(pending), num_returns=enough, timeout=0.5)
                for number, share in ray.get(board.take.remote()).items():
                    yield runs[number], share
                for reference in done:
                    yield pending.pop(reference), _fetch(ray, reference)
    finally:
        ray.shutdown()


def _connect(options: Options) -> Any:
    """Return Ray, connected to the cluster at the address, or to a new one on this machine.

    Raises:
        ExperimentError: Ray is not installed, or the address does not answer.
    """
    if importlib.util.find_spec("ray") is None:
        raise ExperimentError(
            "Ray is not installed; expected it for --engine ray; try: pip install '.[cluster]' in "
            "the checkout"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    if options.address:
        _check_address(options.address)
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "4")  # seconds to try; else 20
    import ray

    where: dict[str, Any] = {"address": options.address}
    if (
        not options.address
    ):  # "local" is a new one, whatever RAY_ADDRESS and the traces of old ones say
        cores = max(count_cores(), (options.workers or 1) * options.threads)
        where = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    ours = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ExperimentError(
            f"can't join the cluster at {options.address or 'this machine'}: {error}"
        ) from None
    signal.signal(signal.SIGTERM, ours)  # Ray's own ends the process without a word
    return ray


def _check_address(address: str) -> None:
    """Refuse an address where no cluster's head answers; `ray.init` would wait a minute for it.

    A head that wants a token gets this user's: Ray makes one, and by itself shows it to no address.
    """
    expected = "expected HOST:PORT as `ray start --head` prints it"
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ExperimentError(f"got address {address!r}; {expected}")
    # What `ray health-check` asks, in a process of its own, since nothing else can end it.
    ask = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"
    command = [sys.executable, "-c", ask, address]
    chosen = os.environ.get("RAY_AUTH_MODE")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        for mode in [chosen] if chosen else ["disabled", "token"]:
            ours = os.environ | {"RAY_AUTH_MODE": mode}
            answer = subprocess.run(
                command, timeout=PATIENCE, env=ours, capture_output=True, text=True, check=False
            )
            if answer.returncode == 0:
                os.environ["RAY_AUTH_MODE"] = mode
                return
            if "AuthenticationError" not in answer.stderr:  # and it must not see the token
                break
    except (OSError, OverflowError, subprocess.TimeoutExpired) as error:
        reason = error if isinstance(error, OSError) else f"not within {PATIENCE:.0f} s"
        raise ExperimentError(
            f"got address {address}, which does not answer ({reason}); {expected}; is it up?"
        ) from None
    if "AuthenticationError" in answer.stderr:
        raise ExperimentError(
            f"got address {address}, which wants a token; expected its head's ~/.ray/auth_token "
            "here too, or in RAY_AUTH_TOKEN"
        )
    raise ExperimentError(f"got address {address}, where something else answers; {expected}")


def _ask_for(ray: Any, options: Options) -> tuple[dict[str, float], int | None]:
    """Return what a run needs, in Ray's terms, and how many may be under way; None for any number.

    Raises:
        ExperimentError: no machine of the cluster has as much; Ray would wait for one.
    """
    needs: dict[str, float] = {"CPU": options.threads}
    at_a_time = options.workers
    if pick_device(options.device).type == "cuda":
        needs["GPU"] = 1 / (options.workers or 1)
        at_a_time = None  # so many share each GPU
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(has.get(kind, 0) >= n for kind, n in needs.items()) for has in machines):
        raise ExperimentError(
            f"got runs of {options.threads} threads on {options.device}; expected a machine with "
            f"as much among the cluster's {len(machines)}; try fewer --threads, or --device cpu"
        )
    return {f"num_{kind.lower()}s": number for kind, number in needs.items()}, at_a_time


def _make_board(ray: Any) -> Any:
    """Return an actor, on this machine, where runs say how far they are."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class Board:  # in here, so that its process need not import this module, and PyTorch
        def __init__(self) -> None:
            self.shares: dict[int, float] = {}

        def tell(self, number: int, share: float) -> None:
            self.shares[number] = share

        def take(self) -> dict[int, float]:
            shares, self.shares = self.shares, {}
            return shares

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()


def _work_on_ray(
    data: Mnist,
    run: Run,
    number: int,
    mark: Path,
    options: Options,
    code: str,
    board: Any,
    interval: float,
) -> Result | str:
    """Do one run; the body of a task.

    Args:
        number: of the run, for the board.
        mark: a file in the folder of results.
        code: `code_version` of who asks.
        interval: seconds between two words to the board.
    """
    if code_version() != code:
        return f"{socket.gethostname()} has version {code_version()}; expected {code}; install it"
    # Ray's objects can't be written to; training writes to no image.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    board.tell.remote(number, 0.0)
    folder = mark.parent if mark.exists() else None
    tell = _at_most_every(interval, lambda share: board.tell.remote(number, share))
    try:
        if folder and (folder / run.file_name).exists():
            return load_result(folder / run.file_name, data)  # of a machine that died right after
        return _complete(run, data, folder, options, tell)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _fetch(ray: Any, reference: Any) -> Result | str:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # it ran, and failed: no package of ours there?
        reason = str(error.cause).strip().partition("\n")[0]
        return f"a machine of the cluster can't do it: {type(error.cause).__name__}: {reason}"
    except ray.exceptions.RayError as error:
        first_line = str(error).strip().partition("\n")[0]
        return f"its process or machine died {RETRIES + 1} times: {first_line}"


ENGINES: dict[str, Engine] = {"local": local, "ray": on_ray}
