#!/usr/bin/env python3
"""The server among clients that are slow, wrong or malicious, or hang up.

    python3 benchmarks/serve_abuse.py

Each kind of bad client comes many times, most of them several at once, while somebody else has
pictures read all along: what the bad ones are answered, how long that takes, and what it costs the
others. Then all is quiet again, and the server must hold no more files and threads than before.
All traffic stays on 127.0.0.1.
"""

import functools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import common
from arguments import make_parser, save
from read_hostile import FILES
from serving import (
    KNOWN_NUMBER,
    KNOWN_TEXT,
    SLOW,
    Served,
    bad_requests,
    exchange,
    form,
    hang_up,
    request,
    status,
    trickle,
    wait_for_rest,
)

PASSES = 3  # what memory grows by in the first may be kept for the next; then it must not grow
SEND_SECONDS = 3
MAX_BODY_BYTES = 20_000_000
AT_ONCE = 8
SLOW_TIMES = 40  # of slow clients, all at once
MULTIPART = "multipart/form-data; boundary=limit"

Attack = Callable[[], bytes | None]  # makes one and returns the answer; None where none is due


def attacks(port: int) -> dict[str, list[Attack]]:
    """Return every kind of bad client: calls that are made several at once."""
    picture = KNOWN_NUMBER.read_bytes()
    good = request("POST", "/read", picture)
    kinds: dict[str, list[Attack]] = {}
    for name, (data, at_once) in SLOW.items():
        kinds[name] = [functools.partial(_send_slowly, port, data, at_once)] * SLOW_TIMES
    kinds["silent"] = [functools.partial(exchange, port, b"")] * SLOW_TIMES
    for name, (data, _) in bad_requests(picture, MAX_BODY_BYTES + 1).items():
        kinds[name] = [functools.partial(exchange, port, data, finish="shorter" in name)] * 20
    for name in FILES:
        if not name.startswith(("photo", "small", "garbage")) or "cut off" in name:
            kinds[f"file: {name}"] = _send_file(port, FILES[name]())
    rng = random.Random(0)
    places = [rng.randrange(len(good) + 1) for _ in range(1000)]
    kinds["hang-ups"] = [functools.partial(hang_up, port, good, place) for place in places]
    kinds["hang-ups, all sent"] = [functools.partial(hang_up, port, good, len(good))] * 1000
    return kinds


def _send_slowly(port: int, data: bytes, at_once: int) -> bytes:
    return trickle(port, data, at_once)[0]


def _send_file(port: int, content: bytes) -> list[Attack]:
    alone = request("POST", "/read", content)
    together = request("POST", "/read", form({"a.png": content}), kind=MULTIPART)
    sent: list[Attack] = [functools.partial(exchange, port, data) for data in (alone, together)]
    return sent * 3


def run(kind: list[Attack]) -> dict[str, Any]:
    """Make one kind of attack; return the answers and the longest that one took."""

    def timed(attack: Attack) -> tuple[int | None, float]:
        started = time.perf_counter()
        answer = attack()
        return None if answer is None else status(answer), time.perf_counter() - started

    with ThreadPoolExecutor(SLOW_TIMES if len(kind) == SLOW_TIMES else AT_ONCE) as threads:
        done = list(threads.map(timed, kind))
    counts = Counter("hung up" if code is None else str(code or "closed") for code, _ in done)
    longest = max(took for _, took in done)
    return {"times": len(kind), "answers": dict(counts), "longest": longest}


class Bystander:
    """Has a picture read again and again, and notes how that went."""

    def __init__(self, port: int):
        self.port, self.stop = port, threading.Event()
        self.seen = {"served": 0, "busy": 0, "failed": 0, "longest": 0.0}
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        good = request("POST", "/read", KNOWN_NUMBER.read_bytes())
        while not (self.stop.is_set() and self.seen["served"]):
            started = time.perf_counter()
            answer = exchange(self.port, good)
            self.seen["longest"] = max(self.seen["longest"], time.perf_counter() - started)
            right = status(answer) == 200 and f'"text":"{KNOWN_TEXT}"'.encode() in answer
            self.seen["served" if right else "busy" if status(answer) == 503 else "failed"] += 1
            time.sleep(1 if status(answer) == 503 else 0.05)  # as Retry-After asks

    def end(self) -> dict[str, float]:
        """Stop once a picture was read, and say how it went."""
        self.stop.set()
        self.thread.join()
        return self.seen


def table(result: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    lines = [
        "| client | times | answers | longest, s | others: read | told to come back | failed "
        "| longest, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in result["attacks"].items():
        answers = ", ".join(f"{count:,} × {code}" for code, count in sorted(row["answers"].items()))
        others = row["others"]
        lines.append(
            f"| {name} | {row['times']:,} | {answers} | {row['longest']:.2f} "
            f"| {others['served']:,} | {others['busy']} | {others['failed']} "
            f"| {others['longest']:.2f} |"
        )
    usages = [result["before"], *result["after"]]
    files, threads, megabytes = (
        ", ".join(f"{usage[name]:.0f}" for usage in usages)
        for name in ("files", "threads", "megabytes")
    )
    return "\n".join(
        [
            *lines,
            "",
            f"With --send-seconds {SEND_SECONDS}; the first of {PASSES} passes. The server and its "
            f"processes hold, before them and after each: {files} open files, {threads} threads, "
            f"{megabytes} MB. Exit code {result['exit_code']}, "
            f"{'something' if result['log'] else 'nothing'} on standard error. "
            f"{result['environment']['processor']}.",
        ]
    )


def main() -> None:
    """Measure, write the result and print the table."""
    parser = make_parser(__doc__, "serve_abuse")
    parser.add_argument("--only", default="", help="only clients with this in their name")
    options = parser.parse_args()
    flags = ("--send-seconds", str(SEND_SECONDS), "--max-body-bytes", str(MAX_BODY_BYTES))
    with Served(*flags) as server:
        for _ in range(50):
            exchange(server.port, request("POST", "/read", KNOWN_NUMBER.read_bytes()))
        before = wait_for_rest(server, server.usage(), 0)
        kinds = {n: kind for n, kind in attacks(server.port).items() if options.only in n}
        rows: dict[str, Any] = {}
        after = []
        for _ in range(PASSES):
            for name, kind in kinds.items():
                bystander = Bystander(server.port)
                row = run(kind) | {"others": bystander.end()}
                rows.setdefault(name, row)
                print(f"{name}: {row}", file=sys.stderr)
            after.append(wait_for_rest(server, before, 30))
        code, log = server.stop()
    result = {
        "environment": common.environment(),
        "attacks": rows,
        "before": before.__dict__,
        "after": [usage.__dict__ for usage in after],
        "exit_code": code,
        "log": log,
    }
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
