"""`mnist predict` as a user runs it."""

import errno
import io
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, assert_one_line_error, run_command, run_json, run_process
from PIL import Image

from mnist_classification import Reader
from mnist_classification.shipped import SHIPPED_MODEL


@pytest.fixture(scope="module")
def pictures(mnist, tmp_path_factory):
    """A folder with the first five test images, dark on light: 7, 2, 1, 0, 4."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(5):
        image = Image.fromarray(255 - np.pad(mnist.test.images[i], 10)).resize((192, 192))
        image.save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_one_picture_gives_its_text_alone(pictures):
    result = run_process("predict", pictures / "0.png")
    assert (result.returncode, result.stdout, result.stderr) == (0, "7\n", "")


def test_a_folder_is_read_by_name(pictures):
    result = run_command("predict", pictures)
    assert result.returncode == 0, result.stderr
    found = [line.removesuffix("?") for line in result.stdout.splitlines()]  # the 1 may be an l
    assert found == [
        f"{pictures / f'{i}.png'}: {text}" for i, text in enumerate(["7", "2", "1", "0", "4"])
    ]


def test_who_reads_the_output_may_stop_reading(pictures):
    command = [sys.executable, "-m", "mnist_classification", "predict", str(pictures), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_json_has_everything(pictures):
    reading = run_json("predict", pictures / "1.png")
    assert reading["text"] == "2"
    assert reading["sure"] is True
    (line,) = reading["lines"]
    assert (line["text"], line["sure"]) == ("2", True)
    (digit,) = line["digits"]
    assert len(digit["probabilities"]) == 10
    assert digit["probability"] == max(digit["probabilities"])
    left, top, right, bottom = digit["box"]
    assert 0 < left < right < 192
    assert 0 < top < bottom < 192


def test_standard_input(pictures):
    content = (pictures / "3.png").read_bytes()
    command = [sys.executable, "-m", "mnist_classification", "predict", "-"]
    result = subprocess.run(command, input=content, capture_output=True, cwd=ROOT, check=True)
    assert result.stdout == b"0\n"


def test_a_file_may_be_called_a_dash(pictures, tmp_path):
    shutil.copy(pictures / "3.png", tmp_path / "-")
    result = run_process("predict", "./-", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "0\n"), result.stderr


def test_a_closed_standard_input_gets_one_line():
    command = f"exec {sys.executable} -m mnist_classification predict - <&-"
    result = subprocess.run(command, shell=True, capture_output=True, cwd=ROOT, text=True)
    assert_one_line_error(result, "standard input is closed")


def test_heic_photos_are_read(pictures, tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    with Image.open(pictures / "0.png") as image:
        image.save(tmp_path / "photo.heic")
    assert run_command("predict", tmp_path / "photo.heic").stdout == "7\n"
    assert Reader().read((tmp_path / "photo.heic").read_bytes()).text == "7"


def test_explain_draws_the_stages(pictures, tmp_path):
    result = run_command("predict", pictures / "4.png", "--explain", tmp_path / "stages.png")
    assert result.stdout == "4\n"
    with Image.open(tmp_path / "stages.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(10**6)) > 10


def test_explain_writes_over_nothing_but_its_own(pictures, tmp_path):
    for name in ("4.png", "notes.png"):
        output = tmp_path / name
        output.write_bytes((pictures / "4.png").read_bytes() if name == "4.png" else b"milk, eggs")
        before = output.read_bytes()
        result = run_command("predict", pictures / "4.png", "--explain", output)
        assert_one_line_error(result, f"{output}: is there, and no explanation of ours")
        assert output.read_bytes() == before
    os.mkfifo(tmp_path / "pipe.png")  # which nobody writes into
    pipe = run_command("predict", pictures / "4.png", "--explain", tmp_path / "pipe.png")
    assert_one_line_error(pipe, "pipe.png: is there, and no explanation of ours")
    jpeg = run_command("predict", pictures / "4.png", "--explain", tmp_path / "4.jpg")
    assert_one_line_error(jpeg, "4.jpg; expected a name that ends in .png")
    too_long = tmp_path / (300 * "x" + ".png")
    assert_one_line_error(
        run_command("predict", pictures / "4.png", "--explain", too_long), "File name too long"
    )
    for _ in range(2):
        again = run_command("predict", pictures / "4.png", "--explain", tmp_path / "stages.png")
        assert again.returncode == 0, again.stderr


def test_nothing_is_said_to_be_nothing(tmp_path):
    Image.new("L", (40, 40), 255).save(tmp_path / "blank.png")
    result = run_command("predict", tmp_path / "blank.png")
    assert (result.returncode, result.stdout) == (0, "no digit here\n")


def test_one_broken_among_many_is_named_and_the_rest_is_read(pictures, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(pictures, folder)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:100])
    result = run_command("predict", folder)
    assert result.returncode == 2
    assert len(result.stdout.splitlines()) == 4
    first, last = result.stderr.splitlines()
    assert first.startswith(f"{folder / '2.png'}: got a damaged picture")
    assert last == "error: 1 of 5 pictures can't be read; they are named"


def test_a_folder_that_may_not_be_looked_into_is_named(pictures, tmp_path, monkeypatch):
    folder = tmp_path / "mixed"
    shutil.copytree(pictures, folder)
    shutil.copytree(pictures, folder / "closed")
    look = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = run_command("predict", folder)
    assert_one_line_error(result, f"{folder / 'closed'}: can't be read: Permission denied")


IMPATIENT = """
from mnist_classification import cli, progress
progress.PATIENCE = 0.2
cli.main()
"""


def test_a_terminal_shows_how_far_it_is_and_the_results_stay_clean(pictures):
    ours, theirs = pty.openpty()
    names = [str(pictures / "0.png"), "-", str(pictures / "1.png")]
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, "predict", *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    buffer = io.BytesIO()
    Image.open(pictures / "3.png").convert("RGB").save(buffer, "BMP")
    content = buffer.getvalue()
    process.stdin.write(content[:100_000])  # more than a pipe holds: returns once it is being read
    process.stdin.flush()
    time.sleep(0.7)  # the rest takes long to come
    stdout, _ = process.communicate(content[100_000:])
    os.set_blocking(ours, False)
    shown = os.read(ours, 10_000).decode()  # while both ends are open, else it may be lost
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0
    assert stdout.decode().splitlines() == [f"{names[0]}: 7", "-: 0", f"{names[2]}: 2"]
    assert "reading" in shown
    assert "3/3" in shown


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nothing.png"], ["nothing.png: no file of that name"]),
        ([ROOT / "README.md"], ["README.md: got a file that starts with 23"]),
        (["."], ["no pictures in this folder"]),
        ([""], ["got an empty name; expected a picture or a folder"]),
        (["/dev/zero"], ["/dev/zero: a pipe or a device; expected a picture"]),
        (["a.png", "b.png", "--explain", "out.png"], ["got 2 pictures with --explain"]),
        (["a.png", "--explian", "x"], ["unknown option '--explian'; did you mean '--explain'"]),
        (["a.png", "--model", "/nowhere"], ["/nowhere: no model here"]),
        (["a.png", "--model", 300 * "x"], ["File name too long"]),
        (["a.png", "--model", ROOT / "README.md"], ["no model in ONNX form"]),
        (["a.png", "--model", SHIPPED_MODEL], ["got a directory without model.onnx", "try"]),
    ],
)
def test_wrong_input_gets_one_line(arguments, parts, tmp_path):
    assert_one_line_error(run_command("predict", *arguments, cwd=tmp_path), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text_is_printed_nevertheless(pictures, tmp_path):
    shutil.copy(pictures / "0.png", tmp_path / os.fsdecode(b"\xff.png"))
    shutil.copy(pictures / "1.png", tmp_path / "one.png")
    result = run_process("predict", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "\\udcff.png: 7" in result.stdout
    assert "one.png: 2" in result.stdout
