"""What the benchmarks and tests of the server share: a server in a process, and bad requests.

    with Served("--workers", "2") as server:
        answer = exchange(server.port, request("POST", "/read", picture, kind="image/png"))

All traffic stays on 127.0.0.1.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parent.parent
KNOWN_NUMBER = ROOT / "mnist_classification" / "server" / "known_number.png"
KNOWN_TEXT = "2047"
SERVE = (sys.executable, "-m", "mnist_classification", "serve", "--port", "0")


@dataclass(frozen=True)
class Usage:
    """What a server and its processes hold."""

    megabytes: float
    files: int
    threads: int


class Served:
    """A server in a process of its own, ended with the block."""

    def __init__(self, *flags: str, command: tuple[str, ...] = SERVE):
        self.process = subprocess.Popen(
            [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        started = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", started)
        if not found:
            raise RuntimeError(f"no server: {started}{self.process.communicate()[1]}")
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Served":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def stop(self) -> tuple[int, str]:
        """End it as an operator would; return the exit code and what it wrote to stderr."""
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=120)[1]
        return self.process.returncode, errors

    def workers(self) -> list[int]:
        """Return the processes that read."""
        return children(self.process.pid)

    def usage(self) -> Usage:
        """Return what the server and its processes hold together."""
        pids = [self.process.pid, *self.workers()]
        status = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        kilobytes = [int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) for text in status]
        threads = [int(re.findall(r"Threads:\s+(\d+)", text)[0]) for text in status]
        files = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids]
        return Usage(sum(kilobytes) / 1000, sum(files), sum(threads))


def children(parent: int) -> list[int]:
    """Return a process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_name = stat.read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent and after_name[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def request(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    kind: str = "application/octet-stream",
    length: int | str | None = None,
    headers: tuple[str, ...] = (),
) -> bytes:
    """Return a request as it goes over the wire; `length` may lie, "" leaves it out."""
    length = len(body) if length is None else length
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"Content-Length: {length}"] if length != "" else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def form(parts: dict[str, bytes], boundary: str = "limit") -> bytes:
    """Return a multipart body, file name → content."""
    pieces = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\n'
        f"\r\n".encode()
        + content
        + b"\r\n"
        for name, content in parts.items()
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def chunked(body: bytes, size: int = 1000) -> bytes:
    """Return a body of unannounced length."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def connect(port: int, timeout: float = 30) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def receive(connection: socket.socket) -> bytes:
    """Return one answer, or what there is of it when the connection is closed."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while len(answer) < _length(answer) and (piece := connection.recv(65536)):
            answer += piece
    return answer[: _length(answer)]


def _length(answer: bytes) -> int:
    """Return how long an answer is; more than there is of it while its head is not complete."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    return len(head) + len(end) + (int(found[1]) if found else 0) if end else len(answer) + 1


def exchange(port: int, data: bytes, *, finish: bool = False, timeout: float = 30) -> bytes:
    """Send bytes and return the answer; `finish` says that no more will come."""
    with connect(port, timeout) as connection:
        with contextlib.suppress(ConnectionError):  # it may answer before it has all
            connection.sendall(data)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def status(answer: bytes) -> int:
    """Return an answer's status; 0 where the connection was closed without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def trickle(port: int, data: bytes, at_once: int, every: float = 0.2) -> tuple[bytes, float]:
    """Send a byte now and then until the connection is closed; return what came, and seconds."""
    started, answer = time.monotonic(), b""
    with connect(port, every) as connection:
        connection.sendall(data[:at_once])
        for byte in data[at_once:]:
            with contextlib.suppress(TimeoutError):
                piece = _send_and_receive(connection, byte)
                answer += piece
                if not piece:
                    break
    return answer, time.monotonic() - started


def _send_and_receive(connection: socket.socket, byte: int) -> bytes:
    try:
        connection.sendall(bytes([byte]))
        return connection.recv(65536)
    except ConnectionError:
        return b""


SLOW = {
    "slow headers": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000, 30),
    "slow body": (request("POST", "/read", length=9999) + b"x" * 9999, 130),
    "slow body that nobody wants": (request("POST", "/nothing", length=9999) + b"x" * 9999, 130),
}


def bad_requests(picture: bytes, too_long: int) -> dict[str, tuple[bytes, set[int]]]:
    """Return requests that are wrong in one way each, and the statuses that may answer them.

    Args:
        picture: a good one.
        too_long: a number of bytes beyond the server's limit.
    """
    deep, nan = b"[" * 10_000 + b"]" * 10_000, b'{"x": NaN, "y": Infinity}'
    multipart = "multipart/form-data; boundary=limit"
    many = form({f"{i}.png": b"" for i in range(5000)})
    good = form({"a.png": picture})
    te = ("Transfer-Encoding: chunked",)

    def post(body: bytes, **how: object) -> bytes:
        return request("POST", "/read", body, **how)  # type: ignore[arg-type]

    return {
        "method GET": (request("GET", "/read"), {405}),
        "method PUT": (request("PUT", "/read", picture), {405}),
        "method unknown": (request("BREW", "/read"), {405}),
        "method POST on /healthz": (request("POST", "/healthz", picture), {405}),
        "path unknown": (request("POST", "/predict", picture), {404}),
        "path upwards": (request("GET", "/../../etc/passwd"), {404}),
        "path of 60,000 characters": (request("GET", "/" + "a" * 60_000), {400, 404}),
        "type JSON, 10,000 deep": (post(deep, kind="application/json"), {415}),
        "type JSON, NaN": (post(nan, kind="application/json"), {415}),
        "type of a form's fields": (
            post(b"a=1", kind="application/x-www-form-urlencoded"),
            {415},
        ),
        "type text": (post(picture, kind="text/html"), {415}),
        "JSON, 10,000 deep, as a picture": (post(deep), {415}),
        "JSON, 10,000 deep, in a form": (post(form({"a": deep}), kind=multipart), {422}),
        "JSON with NaN in a form": (post(form({"a": nan}), kind=multipart), {422}),
        "no body": (post(b""), {415}),
        "no boundary": (post(good, kind="multipart/form-data"), {400}),
        "wrong boundary": (post(good, kind="multipart/form-data; boundary=other"), {400}),
        "boundary of 1,000 characters": (
            post(good, kind="multipart/form-data; boundary=" + "b" * 1000),
            {400},
        ),
        "form cut off": (post(good[: len(good) // 2], kind=multipart), {400}),
        "form without parts": (post(b"--limit--\r\n", kind=multipart), {400}),
        "form of 5,000 parts": (post(many, kind=multipart), {413}),
        "part with 5,000 headers": (
            post(good.replace(b"Content-", b"X: y\r\n" * 5000 + b"Content-", 1), kind=multipart),
            {400},
        ),
        "body announced too long": (post(b"", length=too_long), {413}),
        "body too long": (post(bytes(too_long)), {413}),
        "body too long, in chunks": (
            request("POST", "/read", chunked(bytes(too_long)), length="", headers=te),
            {413},
        ),
        "body longer than announced": (post(picture + b"more" * 9, length=len(picture)), {200}),
        "body shorter than announced": (post(picture, length=len(picture) + 9), {0}),
        "chunk of no size": (
            request("POST", "/read", b"zz\r\nabc\r\n", length="", headers=te),
            {400},
        ),
        "length negative": (post(picture, length=-1), {400}),
        "length no number": (post(picture, length="many"), {400}),
        "two lengths": (post(picture, headers=("Content-Length: 3",)), {400}),
        "compressed": (post(picture, headers=("Content-Encoding: gzip",)), {415}),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01" * 30 + b"\r\n\r\n", {400}),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404}),
        "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
        "header of 1,000,000 characters": (
            request("GET", "/healthz", headers=("X: " + "y" * 1_000_000,)),
            {400},
        ),
        "a name with markup": (
            post(form({"<script>alert(1)</script>": b"x"}), kind=multipart),
            {422},
        ),
        "a pickle": (post(b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94."), {415}),
    }


def hang_up(port: int, data: bytes, sent: int) -> None:
    """Send a part of a request and leave."""
    connection = connect(port)
    with contextlib.suppress(ConnectionError):
        connection.sendall(data[:sent])
    connection.close()


def wait_for_rest(server: Served, before: Usage, seconds: float = 20) -> Usage:
    """Return what the server holds as soon as that is no more files and threads than before."""
    until = time.monotonic() + seconds
    while True:
        now = server.usage()
        if (now.files <= before.files and now.threads <= before.threads) or (
            time.monotonic() > until
        ):
            return now
        time.sleep(0.2)


def freeze(pids: list[int]) -> None:
    """Stop processes where they are."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def thaw(pids: list[int]) -> None:
    """Let them go on."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
