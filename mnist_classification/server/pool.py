"""The processes that read, one request at a time each, and who is given the next one.

    pool = await Pool.start(model, limits, workers=2)
    status, content = await pool.read(boundary, body, request.receive)

Processes and not threads: most of reading holds Python's lock, so two threads read hardly more than
one and hold up who only asks for /healthz; and a process can be ended when a picture takes it too
long. `benchmarks/serve_load.py` measures both.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from ..errors import ModelError, ServeError
from .limits import Limits
from .uploads import RefusedError
from .worker import ANSWER, FAILED, REQUEST, TAKEN

LOG = logging.getLogger(__name__)
START_SECONDS = 120  # for a process to load the reader, on a machine that has much else to do
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one that does both
RETRY_SECONDS = 2  # before another try to replace a process
# A process has one processor; more threads would only wait for each other.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class BusyError(RefusedError):
    """No answer now, perhaps soon."""

    def __init__(self, reason: str):
        super().__init__(503, f"{reason}; expected a moment's patience; try again soon")


class GoneError(Exception):
    """The client has hung up."""


class DeadError(Exception):
    """The process had ended before it was asked."""


class Worker:
    """One process that reads."""

    def __init__(self, process: asyncio.subprocess.Process, facts: dict[str, Any]):
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.facts = process, facts
        self.requests, self.answers = process.stdin, process.stdout
        self.alive = True

    @classmethod
    async def start(cls, model: Path, limits: Limits) -> "Worker":
        """Start a process and wait until it has read a known number.

        Raises:
            ModelError: the model is missing or damaged, or reads the number wrong.
            ServeError: the process can't be started, or ends before it says anything.
        """
        settings = json.dumps([str(model), dataclasses.asdict(limits)])
        # With -P and our own path it imports what we do, and nothing else from the current folder.
        path = [str(Path(entry).absolute()) for entry in sys.path]
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", f"{__package__}.worker", settings),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # decoders may print what they were given
                env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(path)},
            )
        )
        try:
            # On Python 3.11 who is cancelled while it starts a process waits for ever.
            process = await asyncio.shield(starting)
        except OSError as error:
            raise ServeError(
                f"can't start a process that reads: {error.strerror}; try fewer --workers"
            ) from None
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # it could not be started
                await cls(await starting, {}).end()
            raise
        worker = cls(process, {})
        try:
            async with asyncio.timeout(START_SECONDS):
                status, content = await worker._answer()
        except BaseException as error:
            await worker.end()
            if isinstance(error, asyncio.IncompleteReadError | TimeoutError):
                raise ServeError(
                    "a process that reads ended at its start; expected it to load the model; "
                    "try mnist predict, which says why"
                ) from None
            raise
        worker.facts = json.loads(content)
        if status == FAILED:
            await worker.end()
            raise ModelError(worker.facts["error"])
        return worker

    async def read(self, boundary: str, body: bytearray, seconds: float) -> tuple[int, bytes]:
        """Return status and JSON for the pictures of one request.

        Raises:
            RefusedError: the reader fails on them.
            BusyError: they take too long, or the process ended. It is ended in any case.
            DeadError: it had ended before.
        """
        taken = b""
        try:
            async with asyncio.timeout(seconds):
                head = boundary.encode("latin-1")
                self.requests.write(REQUEST.pack(len(head), len(body)) + head)
                self.requests.write(body)
                await self.requests.drain()
                taken = await self.answers.readexactly(len(TAKEN))
                status, content = await self._answer()
        except BaseException as error:
            await self.end()  # what it would answer now is no answer to the next request
            if isinstance(error, TimeoutError):
                raise BusyError(f"reading took more than {seconds:g} seconds") from None
            if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                if not taken:
                    LOG.error("a process ended; another takes its place")
                    raise DeadError from None
                LOG.error("a process ended while it read; another takes its place")
                raise BusyError("reading broke off") from None
            raise
        if status == FAILED:
            reason = json.loads(content)["error"]
            LOG.error("the reader fails on a picture: %s", reason)
            raise RefusedError(422, f"the reader fails on this picture ({reason}); try a PNG copy")
        return status, content

    async def end(self) -> None:
        """End the process, whatever it does."""
        self.alive = False
        if self.process.returncode is None:  # else its number may be another's by now
            with contextlib.suppress(ProcessLookupError):
                # Its own kill() would wait for one that has ended, and asyncio miss how it did.
                os.kill(self.process.pid, KILL)
        self.requests.close()
        await self.process.wait()

    async def _answer(self) -> tuple[int, bytes]:
        status, length = ANSWER.unpack(await self.answers.readexactly(ANSWER.size))
        return status, await self.answers.readexactly(length)


class Pool:
    """All processes that read; one that ends is replaced."""

    def __init__(self, model: Path, limits: Limits):
        self.model, self.limits = model, limits
        self.workers: set[Worker] = set()
        self.free: asyncio.Queue[Worker] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()
        self.first: dict[str, Any] = {}  # the facts of the first process
        self.closed = False

    @classmethod
    async def start(cls, model: Path, limits: Limits, workers: int) -> "Pool":
        """Start the processes; each has read a known number right when this returns.

        Raises:
            ModelError: the model is missing or damaged, or reads the number wrong.
            ServeError: a process can't be started.
        """
        pool = cls(model, limits)
        await pool._add()  # alone, so that what is wrong is said once
        others = (pool._add() for _ in range(workers - 1))
        # All end before one's error is raised, so that none is left behind.
        for error in await asyncio.gather(*others, return_exceptions=True):
            if error is not None:
                await pool.close()
                raise error
        return pool

    @property
    def facts(self) -> dict[str, Any]:
        """What there is to know about the model; {} while no process is alive."""
        return self.first if self.workers else {}

    async def read(
        self, boundary: str, body: bytearray, receive: Callable[[], Awaitable[Any]]
    ) -> tuple[int, bytes]:
        """Return status and JSON for the pictures of one request, from the next idle process.

        Who was asked and had ended already is no reason to refuse: another one is asked.

        Args:
            receive: awaited, it returns when nobody waits for the answer any more.

        Raises:
            GoneError: that was so.
            RefusedError: the reader fails on them.
            BusyError: there is no process in time, they take too long, or the process ended.
        """
        for _ in range(len(self.workers) + 1):
            with contextlib.suppress(DeadError):
                async with self._idle(receive()) as worker:
                    return await worker.read(boundary, body, self.limits.read_seconds)
        raise BusyError("reading broke off")

    @contextlib.asynccontextmanager
    async def _idle(self, gone: Awaitable[Any]) -> AsyncIterator[Worker]:
        """Wait for a process that has nothing to do, and keep it from others.

        Args:
            gone: ends when nobody waits for the answer any more.

        Raises:
            GoneError: that was so.
            BusyError: there is no process within the seconds that reading may take.
        """
        worker = await self._next(gone)
        try:
            yield worker
        finally:
            if worker.alive:
                self.free.put_nowait(worker)
            else:
                self._replace(worker)

    async def _next(self, gone: Awaitable[Any]) -> Worker:
        free, left = asyncio.ensure_future(self._living()), asyncio.ensure_future(gone)
        try:
            await asyncio.wait(
                (free, left),
                timeout=self.limits.read_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if left.done():
                if free.done():
                    self.free.put_nowait(free.result())
                raise GoneError
            if free.done():
                return free.result()
            raise BusyError("got more requests than are read in time")
        finally:
            free.cancel()
            left.cancel()

    async def _living(self) -> Worker:
        while not (worker := await self.free.get()).alive:
            pass  # it ended while it had nothing to do
        return worker

    async def close(self) -> None:
        """End all processes, those that are starting too; none is replaced any more."""
        self.closed = True
        tasks = [*self.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in [*self.workers]:
            await worker.end()

    async def _add(self) -> None:
        worker = await Worker.start(self.model, self.limits)
        self.first = self.first or worker.facts
        if worker.facts != self.first:
            await worker.end()
            raise ModelError(
                f"{self.model}: is another model than when the server started; expected the same; "
                f"restart the server"
            )
        self.workers.add(worker)
        self.free.put_nowait(worker)
        self._run(self._watch(worker))

    async def _watch(self, worker: Worker) -> None:
        """Replace a process that ends by itself, whether it has something to do or not."""
        await worker.process.wait()
        if worker.alive:
            LOG.error("a process ended; another takes its place")
            await worker.end()
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        if worker in self.workers and not self.closed:
            self.workers.discard(worker)
            self._run(self._add_sometime())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _add_sometime(self) -> None:
        while True:
            try:
                return await self._add()
            except (ModelError, ServeError, OSError) as error:
                LOG.error("can't replace a process: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
