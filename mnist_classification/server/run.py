"""Start the server, and end it without breaking off what it is at."""

import asyncio
import contextlib
import errno
import functools
import logging
import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import uvicorn

from ..cores import count_cores
from ..errors import ServeError
from .app import make_app
from .limits import Limits
from .pool import Pool
from .protocol import LimitedProtocol

WORKERS_PER_CORE = 4  # more would only wait for one another


def serve(model: Path, host: str, port: int, workers: int | None, limits: Limits) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then finish those that are in flight.

    Raises:
        ModelError: the model is missing or damaged, or reads a known number wrong.
        ServeError: the port is taken, or no process that reads can be started.
        KeyboardInterrupt: after Ctrl-C.
    """
    most = WORKERS_PER_CORE * count_cores()
    if workers is not None and not 1 <= workers <= most:
        raise ServeError(
            f"got --workers {workers}; expected 1 to {most}, {WORKERS_PER_CORE} per processor; "
            f"try the default"
        )
    asyncio.run(_serve(model, bind(host, port), workers or count_cores(), limits))


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that has the address and does not listen yet.

    Raises:
        ServeError: another program has the port, or the address is none of this machine's.
    """
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise port_error(host, port, ValueError("no such port"))
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        with contextlib.ExitStack() as stack:
            stack.enter_context(listener)
            if os.name == "posix":  # elsewhere it lets two programs have the same port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            stack.pop_all()
    except (OSError, UnicodeError) as error:
        raise port_error(host, port, error) from None
    return listener


def port_error(host: str, port: int, error: Exception) -> ServeError:
    """Return what is said of a port that can't be had."""
    reason = getattr(error, "strerror", None) or error
    hint = "a port that is free; try --port 0, which takes any"
    elsewhere = getattr(error, "errno", None) == errno.EADDRNOTAVAIL
    if elsewhere or isinstance(error, socket.gaierror | UnicodeError):
        hint = "an address of this machine; try --host 127.0.0.1"
    return ServeError(f"can't listen on {host}, port {port}: {reason}; expected {hint}")


class _Server(uvicorn.Server):
    """uvicorn's, which says where it listens and remembers how it was stopped."""

    stopped_by: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        host, port = sockets[0].getsockname()[:2]
        try:
            await super().startup(sockets)
        except OSError as error:  # both may have it who don't listen yet; the later one may not
            raise port_error(host, port, error) from None
        print(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stopped_by = sig
        # Who asks a second time to stop, or has waited long enough, wants no account of each
        # request that is cut off.
        logging.getLogger("uvicorn.error").disabled = True
        super().handle_exit(sig, frame)


async def _serve(model: Path, listener: socket.socket, workers: int, limits: Limits) -> None:
    with listener:
        pool = await Pool.start(model, limits, workers)
        try:
            server = _Server(_configure(pool, limits))
            for stop in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again at its end
                signal.signal(stop, lambda *_: None)
            await server.serve(sockets=[listener])
            await _end(server.server_state.tasks)
        finally:
            await pool.close()
    if server.stopped_by == signal.SIGINT:
        raise KeyboardInterrupt


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """End the requests that are left, where whoever stops the server does not wait for them."""
    left = [*tasks]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _configure(pool: Pool, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(pool, limits),
        http=functools.partial(LimitedProtocol, limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_level="error",  # what clients do wrong is answered, and not written down
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # A request's headers, its body, its wait for a process and its reading have a time each.
        timeout_graceful_shutdown=round(2 * limits.send_seconds + 2 * limits.read_seconds) + 1,
    )
