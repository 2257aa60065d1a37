"""`mnist serve` as its clients meet it: a real server, real sockets, and clients that misbehave."""

import asyncio
import hashlib
import io
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import onnx
import pytest
import uvicorn
from conftest import ROOT, assert_one_line_error, is_running, run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_classification import Reader
from mnist_classification.errors import ModelError, ServeError
from mnist_classification.server.app import Service
from mnist_classification.server.limits import Limits
from mnist_classification.server.page import page_html
from mnist_classification.server.pool import Pool, Worker
from mnist_classification.server.run import _Server, bind
from mnist_classification.server.uploads import RefusedError, split_form, to_json
from mnist_classification.shipped import SHIPPED_READER

sys.path.insert(0, str(ROOT / "benchmarks"))
from read_hostile import FILES
from serving import (
    KNOWN_NUMBER,
    KNOWN_TEXT,
    SLOW,
    Served,
    bad_requests,
    connect,
    exchange,
    form,
    freeze,
    hang_up,
    receive,
    request,
    status,
    thaw,
    trickle,
    wait_for_rest,
)

PICTURE = KNOWN_NUMBER.read_bytes()
MULTIPART = "multipart/form-data; boundary=limit"
SEND_SECONDS = 2
SMALL = (
    *("--workers", "1", "--max-in-flight", "4", "--max-connections", "60"),
    *("--max-body-bytes", "400000", "--max-held-bytes", "1000000", "--max-pixels", "1000000"),
    *("--send-seconds", str(SEND_SECONDS), "--read-seconds", "8"),
)
READ = request("POST", "/read", PICTURE)
LONG_READ = request("POST", "/read", FILES["43 rows of ticks.png"]())


@pytest.fixture(scope="module")
def server():
    with Served(*SMALL) as server:
        yield server
        assert server.stop() == (0, "")  # nothing that clients did was written down


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def answer_of(answer: bytes):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def wait_until(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


# What it answers


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", ""])
def test_a_picture_is_read_as_predict_does(client, kind):
    headers = {"Content-Type": kind} if kind else {}
    response = client.post("/read", content=PICTURE, headers=headers)
    assert response.status_code == 200
    expected = Reader().read(PICTURE).as_json("-")
    assert response.json() == json.loads(json.dumps(expected))
    assert response.json()["text"] == KNOWN_TEXT


def test_a_body_of_unknown_length_is_read(client):
    pieces = (PICTURE[start : start + 100] for start in range(0, len(PICTURE), 100))
    assert client.post("/read", content=pieces).json()["text"] == KNOWN_TEXT


def test_a_body_in_chunks_of_a_byte_each_is_refused_at_once(server):
    head = request("POST", "/read", b"")[:-2].replace(b"Content-Length: 0\r\n", b"")
    body = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    answer = exchange(server.port, head + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert status(answer) == 400


def test_an_address_with_a_slash_behind_it_is_none(client):
    assert client.post("/read/", content=PICTURE).status_code == 404


def test_a_form_gives_a_list_in_its_order_and_names_what_is_broken(client):
    names = ["first.png", "broken.png", "дом <b>.png"]
    contents = [PICTURE, PICTURE[:200], PICTURE]
    parts = [("picture", part) for part in zip(names, contents, strict=True)]
    response = client.post("/read", files=parts)
    assert response.status_code == 200
    first, broken, last = response.json()
    assert [reading["file"] for reading in response.json()] == names
    assert first["text"] == last["text"] == KNOWN_TEXT
    assert "damaged picture" in broken["error"]
    assert broken["text"] == ""
    assert b"<" not in response.content  # nor anything else that HTML would take for its own


def test_a_form_of_nothing_readable_is_unprocessable(client):
    response = client.post("/read", files={"a": b"no", "b": b""})
    assert response.status_code == 422
    assert [reading["file"] for reading in response.json()] == ["upload", "upload"]


def test_a_page_without_digits_is_no_error(client):
    buffer = io.BytesIO()
    Image.new("L", (50, 50), 255).save(buffer, "PNG")
    reading = client.post("/read", content=buffer.getvalue()).json()
    assert (reading["text"], reading["sure"], reading["lines"]) == ("", False, [])


def test_health_readiness_and_metadata(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"ready": True, "workers": 1, "room": 4}
    facts = client.get("/metadata").json()
    both = b"".join((SHIPPED_READER / name).read_bytes() for name in ("model.onnx", "words.onnx"))
    assert facts["model"]["bytes"] == len(both)
    assert facts["model"]["sha256"] == hashlib.sha256(both).hexdigest()
    assert facts["limits"]["max_pixels"] == 1_000_000
    assert str(Path.home()) not in json.dumps(facts)


def test_the_page_is_shown_with_a_policy(client):
    response = client.get("/")
    assert response.text == page_html()
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert client.head("/").headers["content-length"] == str(len(response.content))


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/read"])
def test_every_answer_is_kept_from_other_sites(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


# What it refuses


@pytest.mark.parametrize("wrong", bad_requests(b"", 0))
def test_a_wrong_request_is_refused(server, wrong):
    data, expected = bad_requests(PICTURE, 400_001)[wrong]
    answer = exchange(server.port, data, finish="shorter" in wrong)
    assert status(answer) in expected
    assert b"<script" not in answer
    if status(answer) >= 400:
        refusal = answer_of(answer)
        refusal = refusal[0] if isinstance(refusal, list) else refusal
        assert "; expected " in refusal["error"]


HOSTILE = [
    *("2⁶² pixels.png", "49 megapixels missing.png", "cut off.jpg", "cut off.png"),
    *("animated.gif", "animated.png", "text.png", "zip.png", "pickle.jpg", "empty.png"),
    *("tile of 0.9 gigapixels.tif", "tile of text.tif", "animated.webp"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(client, name):
    content = FILES[name]()
    started = time.perf_counter()
    alone = client.post("/read", content=content)
    assert time.perf_counter() - started < 5  # on a machine with much else to do
    assert alone.status_code in (413, 415, 422)
    together = client.post("/read", files={"a": content})
    assert together.status_code == 422
    assert together.json()[0]["error"] == alone.json()["error"]


def test_pixels_and_formats_are_limited_before_decoding(client):
    def encoded(size, file_format):
        buffer = io.BytesIO()
        Image.new("L", size, 255).save(buffer, file_format)
        return buffer.getvalue()

    pytest.importorskip("pillow_heif").register_heif_opener()
    for wanted in ("PNG", "HEIF"):
        assert client.post("/read", content=encoded((1000, 1000), wanted)).status_code == 200
        assert client.post("/read", content=encoded((1000, 1002), wanted)).status_code == 413
    for unwanted in ("PPM", "TGA", "PCX"):
        assert client.post("/read", content=encoded((9, 9), unwanted)).status_code == 415


def test_slow_clients_are_cut_off_and_nobody_waits_for_them(server, client):
    with ThreadPoolExecutor(5) as threads:
        answers = {name: threads.submit(trickle, server.port, *slow) for name, slow in SLOW.items()}
        silent = threads.submit(exchange, server.port, b"")
        stuck = threads.submit(exchange, server.port, READ[:-300])
        while not all(future.done() for future in [*answers.values(), silent, stuck]):
            assert client.post("/read", content=PICTURE).json()["text"] == KNOWN_TEXT
            time.sleep(0.3)
    statuses = {name: status(future.result()[0]) for name, future in answers.items()}
    assert [*statuses.values()] == [408, 408, 404], statuses
    for future in answers.values():
        assert SEND_SECONDS - 1 < future.result()[1] < SEND_SECONDS + 10
    assert silent.result() == b""
    assert status(stuck.result()) == 408


def test_too_many_requests_are_told_to_come_back(server, client):
    workers = server.workers()
    freeze(workers)
    try:
        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(exchange, server.port, READ) for _ in range(4)]
            wait_until(lambda: client.get("/readyz").json()["room"] == 0)
            assert client.get("/readyz").status_code == 503
            refused = client.post("/read", content=PICTURE)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert client.get("/healthz").status_code == 200
            thaw(workers)
            assert [status(future.result()) for future in waiting] == [200] * 4
    finally:
        thaw(workers)


def test_who_hangs_up_makes_room_for_others(server, client):
    workers = server.workers()
    freeze(workers)
    try:
        impatient = [connect(server.port) for _ in range(4)]
        for connection in impatient:
            connection.sendall(READ)
        wait_until(lambda: client.get("/readyz").json()["room"] == 0)
        for connection in impatient:
            connection.close()
        wait_until(lambda: client.get("/readyz").json()["room"] == 3)  # one has begun
    finally:
        thaw(workers)
    assert client.post("/read", content=PICTURE).json()["text"] == KNOWN_TEXT


def test_bytes_held_for_all_together_are_limited(server, client):
    part = request("POST", "/read", bytes(390_000), length=400_000)

    def refused_beside_two():
        """Hold two bodies anew each time: on a busy machine they may be given up meanwhile."""
        with connect(server.port) as one, connect(server.port) as two:
            one.sendall(part)
            two.sendall(part)
            time.sleep(0.2)
            return client.post("/read", content=bytes(390_000)).status_code == 503

    wait_until(refused_beside_two)
    wait_until(lambda: client.post("/read", content=bytes(390_000)).status_code == 415)


def test_connections_are_limited(server, client):
    assert client.get("/healthz").status_code == 200  # one connection, kept
    others = [connect(server.port) for _ in range(59)]
    answer = receive(connect(server.port))
    for connection in others:
        connection.close()
    assert status(answer) == 503
    assert b"Retry-After" in answer
    wait_until(lambda: status(exchange(server.port, READ)) == 200)


@pytest.mark.parametrize("how", ["killed", "too slow"])
def test_a_process_that_ends_or_hangs_is_replaced(how):
    with Served("--workers", "1", "--read-seconds", "1" if how == "too slow" else "5") as server:
        (worker,) = server.workers()
        if how == "too slow":
            freeze([worker])
        before = processor_ticks(worker)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(exchange, server.port, LONG_READ)
            if how == "killed":
                wait_until(lambda: processor_ticks(worker) >= before + 10)  # it is at it
                os.kill(worker, signal.SIGKILL)
            assert status(waiting.result()) == 503
        wait_until(lambda: status(exchange(server.port, READ)) == 200)
        assert server.workers() != [worker]
        code, errors = server.stop()
        assert code == 0
        assert ("a process ended while it read" in errors) == (how == "killed")


def processor_ticks(process):
    """Return the hundredths of a second that a process has had a processor for."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11])


def test_processes_that_end_before_they_are_asked_cost_no_request():
    with Served("--workers", "2") as server:
        workers = server.workers()
        freeze(workers)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(exchange, server.port, READ)
            time.sleep(0.5)  # one of them has it in its pipe
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            assert answer_of(waiting.result())["text"] == KNOWN_TEXT
        assert server.stop()[0] == 0


def test_a_process_that_ends_while_it_has_nothing_to_do_is_replaced():
    with Served("--workers", "1") as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in server.workers())
        wait_until(lambda: status(exchange(server.port, request("GET", "/readyz"))) == 200)
        assert status(exchange(server.port, READ)) == 200
        assert server.workers() != [worker]
        code, errors = server.stop()
        assert code == 0
        assert errors.count("a process ended; another takes its place") == 1


def test_clients_that_hang_up_leave_nothing_behind(server):
    assert status(exchange(server.port, READ)) == 200
    before = wait_for_rest(server, server.usage(), 1)
    for i in range(200):
        hang_up(server.port, READ, len(READ) if i % 4 == 0 else i * len(READ) // 200)
    after = wait_for_rest(server, before)
    assert after.files <= before.files
    assert after.threads <= before.threads
    assert after.megabytes < before.megabytes + 20
    assert answer_of(exchange(server.port, READ))["text"] == KNOWN_TEXT


# How it starts and ends


def test_a_process_that_is_no_longer_wanted_while_it_starts_is_ended(monkeypatch):
    started, start = [], asyncio.create_subprocess_exec

    async def start_and_tell(*arguments, **options):
        started.append(await start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_and_tell)

    async def give_up(after):
        task = asyncio.ensure_future(Worker.start(SHIPPED_READER, Limits()))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.wait([task], timeout=20)
        return task.cancelled()

    for seconds in (0, 0.1):
        assert asyncio.run(give_up(seconds))
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


def test_sigterm_finishes_what_is_in_flight():
    with Served("--workers", "1") as server:
        workers = server.workers()
        freeze(workers)
        with (
            ThreadPoolExecutor(1) as threads,
            connect(server.port) as idle,
            connect(server.port) as slow,
        ):
            reading = threads.submit(exchange, server.port, READ)
            slow.sendall(READ[:-100])
            idle.sendall(request("GET", "/healthz"))
            assert status(receive(idle)) == 200
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_closed(server.port))
            assert idle.recv(1) == b""
            slow.sendall(READ[-100:])
            thaw(workers)
            assert answer_of(reading.result())["text"] == KNOWN_TEXT
            assert answer_of(receive(slow))["text"] == KNOWN_TEXT
        assert server.process.communicate(timeout=60) == ("", "")
        assert server.process.returncode == 0


def is_closed(port):
    try:
        connect(port, 1).close()
    except OSError:
        return True
    return False


def test_ctrl_c_ends_it_as_it_ends_every_command():
    with Served("--workers", "1") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 130


def test_a_second_ctrl_c_cuts_off_what_is_in_flight_without_a_traceback():
    with Served("--workers", "1") as server:
        freeze(server.workers())
        with connect(server.port) as client:
            client.sendall(READ)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGINT)
            wait_until(lambda: is_closed(server.port))
            server.process.send_signal(signal.SIGINT)
            assert server.process.communicate(timeout=60)[1].strip() == "stopped"
        assert server.process.returncode == 130


def test_processes_end_when_the_server_is_killed():
    with Served("--workers", "1") as server:
        (worker,) = server.workers()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not is_running(worker))


def test_a_port_in_use_is_said_in_one_line(server):
    result = run_command("serve", "--port", server.port)
    assert_one_line_error(result, str(server.port), "in use", "--port 0")
    assert result.stdout == ""


@pytest.mark.parametrize("host", ["nosuchhost.invalid", "192.0.2.1", "a" * 70])
def test_an_address_that_is_not_ours_is_told_from_a_port_in_use(host):
    with pytest.raises(ServeError, match="expected an address of this machine; try --host 127"):
        bind(host, 0)


def test_nothing_is_imported_from_the_folder_where_it_is_started(tmp_path, monkeypatch):
    (tmp_path / "numbers.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)

    async def start_and_end():
        await (await Pool.start(SHIPPED_READER, Limits(), workers=1)).close()

    asyncio.run(start_and_end())


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_a_port_that_there_is_not_is_refused(port):
    with pytest.raises(ServeError, match=f"port {port}: no such port"):
        bind("127.0.0.1", port)


def test_of_two_that_start_at_once_the_later_says_that_the_port_is_in_use():
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", first.getsockname()[1]) as later:
        first.listen()
        server = _Server(uvicorn.Config(lambda: None, lifespan="off"))
        with pytest.raises(ServeError, match=f"port {first.getsockname()[1]}: .*in use"):
            asyncio.run(server.serve(sockets=[later]))


def test_a_model_that_is_no_good_is_said_before_anything_listens(tmp_path):
    content = (SHIPPED_READER / "model.onnx").read_bytes()
    truncated, wrong = tmp_path / "truncated.onnx", tmp_path / "wrong.onnx"
    truncated.write_bytes(content[:100_000])
    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = bytes(len(tensor.raw_data))
    onnx.save(model, wrong)
    for path, reason in [(truncated, "model"), (wrong, "reads"), (tmp_path / "no", "can't be")]:
        result = run_command("serve", "--port", "0", "--model", path)
        assert_one_line_error(result, reason)
        assert result.stdout == ""


@pytest.mark.parametrize("call", [0, 1])
def test_where_one_process_cannot_be_started_all_end(monkeypatch, call):
    start, processes = asyncio.create_subprocess_exec, []

    async def start_some(*arguments, **options):
        if len(processes) == call:
            raise OSError(24, "Too many open files")
        processes.append(await start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_some)
    with pytest.raises(ServeError, match="can't start a process that reads: Too many open files"):
        asyncio.run(Pool.start(SHIPPED_READER, Limits(), workers=3))
    assert len(processes) == call
    assert all(process.returncode is not None for process in processes)


def test_a_process_with_another_model_than_the_first_s_is_refused():
    async def start_two():
        pool = await Pool.start(SHIPPED_READER, Limits(), workers=1)
        pool.first = pool.first | {"sha256": "of the model before"}
        try:
            with pytest.raises(ModelError, match=r"another model .*; restart the server"):
                await pool._add()
            assert len(pool.workers) == 1
        finally:
            await pool.close()

    asyncio.run(start_two())


def test_a_network_that_the_page_cannot_compute_is_served_all_the_same(monkeypatch, caplog):
    def only_ours(model=None):
        if model is not None:
            raise ModelError("a layer that the page does not know")
        return "the page"

    monkeypatch.setattr("mnist_classification.server.app.page_html", only_ours)
    service = Service(Pool(Path("mine.onnx"), Limits()), Limits())
    assert service.page == b"the page"
    assert "the network that ships, not the server's: a layer" in caplog.text


def test_limits_that_make_no_sense_are_refused():
    wrong_limits = (
        *({"max_pixels": 0}, {"max_pixels": 10**9}),
        *({"send_seconds": float("nan")}, {"read_seconds": 1e308}),
    )
    for wrong in wrong_limits:
        with pytest.raises(ServeError, match="expected"):
            Limits(**wrong)
    with pytest.raises(ServeError, match="at most all of them together"):
        Limits(max_body_bytes=300_000_000)
    with pytest.raises(ServeError, match="did you mean 'JPEG'"):
        Limits(formats="PNG,JPG")
    assert_one_line_error(run_command("serve", "--max-parts", "-1"), "--max-parts -1")
    assert_one_line_error(run_command("serve", "--workers", "1000000"), "4 per processor")


# Its parts


@pytest.mark.parametrize("size", [0, 1, 5, 300, 5000])
def test_a_form_is_split_whatever_is_in_it(size):
    noise = bytes(range(256)) * (size // 256 + 1)
    contents = [noise[:size], b"\r\n--limi" * (size // 8), b"\r" * size, b"--limit--"]
    parts = {f"{i} ☃.png": content for i, content in enumerate(contents)}
    assert split_form("limit", form(parts), 4) == list(parts.items())
    with pytest.raises(RefusedError, match="more than 3 parts"):
        split_form("limit", form(parts), 3)


def test_json_means_nothing_to_html():
    value = {"file": "</script><img src=x onerror=alert(1)>&amp;"}
    assert not set(b"<>&") & set(to_json(value))
    assert json.loads(to_json(value)) == value


# Fuzzed


def test_the_interface_is_what_it_says(server):
    import schemathesis  # a second of imports, which each process of the tests would take
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 5

    @given(data=st.data())
    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    def fuzz(data):
        case = data.draw(data.draw(st.sampled_from(operations)).as_strategy())
        # Whether bytes are a picture is more than a schema can say.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    fuzz()
