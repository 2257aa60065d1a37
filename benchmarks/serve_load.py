#!/usr/bin/env python3
"""The server under load: 64 clients at a time, against a naive server and against no server at all.

    python3 benchmarks/serve_load.py

Each client has a picture of a number of its own, sends it again and again, and checks that the
answer is what `Reader.read` makes of that picture: an answer that went to another client would
show. `mnist serve` takes turns with a naive server, which has the same stages in the event loop,
one request after the other, and with reading in process: `Reader.read_many`, and `Reader.read` in
as many threads and in as many processes as there are processors. Somebody asks for /healthz all the
while. Last, the server's memory is followed over 20,000 requests. Clients run in one process of
their own, on the same processors. All traffic stays on 127.0.0.1.
"""

import asyncio
import functools
import io
import itertools
import json
import multiprocessing
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import common
import numpy as np
from arguments import make_parser, positive, save
from PIL import Image
from read_synthetic import Style, make_page
from serving import SERVE, Served, exchange, request, status

from mnist_classification import Reader, load_mnist
from mnist_classification.cores import count_cores

NAIVE = (sys.executable, __file__, "--naive")
WAYS = ("mnist serve", "naive server")
PING_SECONDS = 0.1  # between two questions for /healthz
SAMPLE = 1000  # requests between two looks at the memory
WARM = 2000  # requests until caches and allocators are filled

Work = list[tuple[bytes, str]]  # per client: its request, and the text that must come back


# Pictures


def make_numbers(clients: int) -> list[bytes]:
    """Return a PNG per client, of numbers of one to six digits that the reader tells apart."""
    reader, rng, test = Reader(), np.random.default_rng(0), load_mnist().test
    found: dict[str, bytes] = {}
    while len(found) < clients:
        page, _ = make_page(test, Style(length=(1, 6), height=(28, 56)), rng)
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(page)).save(buffer, "PNG")
        text = reader.read(buffer.getvalue()).text
        if text and "\n" not in text:
            found.setdefault(text, buffer.getvalue())
    return [*found.values()]


# Servers


def serve_naively() -> None:
    """Answer one request at a time, in the event loop, as one writes it first."""
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    reader = Reader()

    async def read(request: Request) -> JSONResponse:
        return JSONResponse(reader.read(await request.body()).as_json("-"))

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    app = Starlette(routes=[Route("/read", read, methods=["POST"]), Route("/healthz", health)])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="error", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


# Clients


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return status(head), await reader.readexactly(length)


async def _client(
    port: int, work: tuple[bytes, str], go_on: Callable[[], bool], seen: dict[str, Any]
) -> None:
    """Send one picture again and again over one connection."""
    data, expected = work
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while go_on():
        started = time.perf_counter()
        writer.write(data)
        code, content = await _read_answer(reader)
        seen["statuses"][code] += 1
        if code == 200:
            seen["seconds"].append(time.perf_counter() - started)
            seen["wrong"] += json.loads(content)["text"] != expected
        else:
            await asyncio.sleep(1)  # as Retry-After asks
    writer.close()


def drive(port: int, work: Work, seconds: float = 0, requests: int = 0) -> dict[str, Any]:
    """Have every client at work for so many seconds, or for so many requests together."""
    seen: dict[str, Any] = {"statuses": Counter(), "seconds": [], "wrong": 0}
    tickets = itertools.count()
    until = time.perf_counter() + seconds

    def go_on() -> bool:
        return next(tickets) < requests if requests else time.perf_counter() < until

    async def together() -> None:
        await asyncio.gather(*(_client(port, item, go_on, seen) for item in work))

    started = time.perf_counter()
    asyncio.run(together())
    return seen | {"wall": time.perf_counter() - started, "statuses": dict(seen["statuses"])}


def ping(port: int, stop: threading.Event) -> list[float]:
    """Ask for /healthz now and then; return how long each answer took."""
    seconds = []
    while not stop.wait(PING_SECONDS):
        started = time.perf_counter()
        answer = exchange(port, request("GET", "/healthz"), timeout=120)
        assert status(answer) == 200, answer
        seconds.append(time.perf_counter() - started)
    return seconds


# Measurements


def load_server(command: tuple[str, ...], work: Work, seconds: float) -> dict[str, Any]:
    """Start a server, put it under load, and say how it did."""
    stop = threading.Event()
    with (
        Served(command=command) as server,
        _one_process() as clients,
        ThreadPoolExecutor(1) as thread,
    ):
        clients.submit(drive, server.port, work, 1.0).result()  # nobody's first request counts
        pings = thread.submit(ping, server.port, stop)
        try:
            seen = clients.submit(drive, server.port, work, seconds).result()
        finally:
            stop.set()
        health = pings.result()
    answered = len(seen["seconds"])
    return {
        "per_second": answered / seen["wall"],
        "requests": sum(seen["statuses"].values()),
        "statuses": {str(code): count for code, count in seen["statuses"].items()},
        "wrong": seen["wrong"],
        "p50": float(np.percentile(seen["seconds"], 50)),
        "p99": float(np.percentile(seen["seconds"], 99)),
        "health_p50": statistics.median(health),
        "health_max": max(health),
        "health_asked": len(health),
    }


def load_process(
    read: Callable[[list[bytes]], Any], pictures: list[bytes], seconds: float
) -> dict[str, Any]:
    """Read the pictures again and again for so many seconds."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        read(pictures)
        count += len(pictures)
    return {"per_second": count / (time.perf_counter() - started)}


def follow_memory(work: Work, requests: int) -> list[dict[str, float]]:
    """Return what the server holds after every thousand requests."""
    with Served() as server, _one_process() as clients:
        samples = []
        for done in range(0, requests, SAMPLE):
            seen = clients.submit(drive, server.port, work, 0, SAMPLE).result()
            assert not seen["wrong"]
            usage = server.usage()
            samples.append({"requests": done + SAMPLE, **usage.__dict__})
        return samples


def _one_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@functools.cache
def _own_reader() -> Reader:
    return Reader()


def _read(picture: bytes) -> str:
    return _own_reader().read(picture).text


def _read_by(pool: Executor, pictures: list[bytes]) -> list[str]:
    return list(pool.map(_read, pictures))


# Result


def table(result: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    ceiling = _median(result, "read_many in process", "per_second")
    lines = [
        "| way | pictures per second, median | range | to `read_many` | p50, ms | p99, ms | "
        "`/healthz`, longest, ms | statuses | wrong answers |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way, rounds in result["ways"].items():
        rates = [measured["per_second"] for measured in rounds]
        row = f"| {way} | {statistics.median(rates):,.1f} | {min(rates):,.1f}–{max(rates):,.1f} "
        row += f"| {statistics.median(rates) / ceiling:.0%} "
        lines.append(
            row + (_server_cells(rounds) if "p50" in rounds[0] else "| – | – | – | – | – |")
        )
    samples = [sample for sample in result["memory"] if sample["requests"] >= WARM]
    sizes = [sample["megabytes"] for sample in samples]
    where = result["environment"]
    return "\n".join(
        [
            *lines,
            "",
            f"{result['clients']} clients, {len(rounds)} rounds of {result['seconds']:g} s taking "
            f"turns, clients on the same {result['processors']} processors; "
            f"{where['processor']}. Memory of the server and its processes over "
            f"{samples[-1]['requests']:,.0f} requests: {sizes[0]:.0f} MB after {WARM:,}, "
            f"{sizes[-1]:.0f} MB at the end ({sizes[-1] / sizes[0] - 1:+.1%}), at most "
            f"{max(sizes):.0f} MB.",
        ]
    )


def _server_cells(rounds: list[dict[str, Any]]) -> str:
    statuses: Counter[str] = Counter()
    for measured in rounds:
        statuses.update(measured["statuses"])
    counts = ", ".join(f"{count:,} × {code}" for code, count in sorted(statuses.items()))
    p50, p99 = (statistics.median(m[name] for m in rounds) * 1000 for name in ("p50", "p99"))
    health = max(measured["health_max"] for measured in rounds) * 1000
    wrong = sum(measured["wrong"] for measured in rounds)
    return f"| {p50:,.0f} | {p99:,.0f} | {health:,.0f} | {counts} | {wrong} |"


def _median(result: dict[str, Any], way: str, name: str) -> float:
    return statistics.median(measured[name] for measured in result["ways"][way])


def main() -> None:
    """Measure, write the result and print the table."""
    parser = make_parser(__doc__, "serve_load")
    parser.add_argument("--naive", action="store_true", help="be the naive server")
    parser.add_argument("--clients", type=positive, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="of load per way and round")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--requests", type=positive, default=20_000, help="to follow memory over")
    options = parser.parse_args()
    if options.naive:
        serve_naively()
        return
    pictures = make_numbers(options.clients)
    reader = Reader()
    texts = [reader.read(picture).text for picture in pictures]
    work = [
        (request("POST", "/read", picture), text)
        for picture, text in zip(pictures, texts, strict=True)
    ]
    count = count_cores()
    in_process = options.seconds / 4  # steady from the start
    ways: dict[str, list[dict[str, Any]]] = {}
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(count) as threads, ProcessPoolExecutor(count, context) as processes:
        alone: dict[str, Callable[[list[bytes]], Any]] = {
            "read_many in process": lambda some: list(reader.read_many(some)),
            f"read in {count} threads": functools.partial(_read_by, threads),
            f"read in {count} processes": functools.partial(_read_by, processes),
        }
        for number in range(options.rounds):
            for way, command in zip(WAYS, (SERVE, NAIVE), strict=True):
                measured = load_server(command, work, options.seconds)
                ways.setdefault(way, []).append(measured)
                print(f"round {number + 1}, {way}: {measured}", file=sys.stderr)
            for way, read in alone.items():
                read(pictures[:8])
                measured = load_process(read, pictures, in_process)
                ways.setdefault(way, []).append(measured)
                print(f"round {number + 1}, {way}: {measured}", file=sys.stderr)
    result = {
        "environment": common.environment(),
        "clients": options.clients,
        "seconds": options.seconds,
        "processors": count,
        "pictures": {
            "bytes": sum(map(len, pictures)) / len(pictures),
            "digits": sum(map(len, texts)) / len(texts),
        },
        "ways": ways,
        "memory": follow_memory(work, options.requests),
    }
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
