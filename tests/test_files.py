import errno
import os
import resource
import signal
import stat

import pytest

from mnist_classification.errors import RunError
from mnist_classification.files import make_folder, remove_leftovers, write_atomically


def test_a_file_is_replaced_whole_and_anyone_may_read_it(tmp_path):
    path = tmp_path / "config.json"
    for content in (b"old", "new, as text"):
        write_atomically(path, content)
    assert path.read_text() == "new, as text"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    """A limit on file sizes makes the write fail half-way, as a full disk does."""
    path = tmp_path / "config.json"
    path.write_text("old")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with pytest.raises(RunError, match=os.strerror(errno.EFBIG) + "; nothing was replaced"):
            write_atomically(path, bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nothing"):
        with pytest.raises(RunError, match=r"can't make folder .*; try --output"):
            make_folder(tmp_path / path)


def test_leftovers_of_a_killed_save_are_removed_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "config.json", "{}")
    (tmp_path / ".lock").touch()
    (tmp_path / ".env.template").touch()
    (tmp_path / ".mnist-classification-ab12cd_4").touch()
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".env.template", ".lock", "config.json"]


def test_what_another_process_may_be_writing_is_no_leftover(tmp_path):
    new, old = (tmp_path / f".mnist-classification-{name}" for name in ("new", "old"))
    for path in (new, old):
        path.touch()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path, older_than=3600)
    assert [path for path in (new, old) if path.exists()] == [new]


def test_a_link_stays_one_and_what_it_names_is_replaced(tmp_path):
    page, link = tmp_path / "page.html", tmp_path / "link.html"
    page.write_text("old")
    link.symlink_to(page)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert page.read_text() == "new"


def test_permissions_are_those_that_were_there_or_that_the_user_gives(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("")
    old.chmod(0o600)
    before = os.umask(0o027)
    try:
        write_atomically(old, "a")
        write_atomically(new, "a")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o600, 0o640]
