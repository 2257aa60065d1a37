"""Write files so that a reader, or a crash, sees the old content or the new, never a part."""

import contextlib
import errno
import os
import stat
import tempfile
import time
from pathlib import Path

from .errors import RunError

TEMPORARY = ".mnist-classification-"  # how the names of our temporary files begin


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a temporary file beside `path`, flush it to disk, and rename it into place.

    Raises:
        RunError: the disk is full or the folder can't be written; what stood at `path` still does.
    """
    write_together({path: content})


def write_together(contents: dict[Path, bytes | str]) -> None:
    """Write files as `write_atomically` does, each renamed when all are on the disk.

    Raises:
        RunError: likewise; all that stood there still does, unless it is a renaming that fails,
            which a full disk does not make it do.
    """
    temporary: list[str] = []
    path = Path()
    try:
        for path, content in contents.items():
            target = Path(os.path.realpath(path))  # of a link: it stays one
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY)
            temporary.append(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, _mode(target))  # mkstemp gives 0600, which would follow the model around
        for name, path in zip(temporary, contents, strict=True):
            os.replace(name, os.path.realpath(path))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise RunError(
            f"can't write {path}: {error.strerror}; nothing was replaced; "
            f"{'free some space' if full else 'choose another folder'}"
        ) from error
    finally:
        for name in temporary:
            with contextlib.suppress(OSError):  # renamed already, unless something failed
                os.unlink(name)


def _mode(path: Path) -> int:
    """Return the permissions of what is there, else those that the user gives new files."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def may_replace(path: Path, mark: bytes) -> bool:
    """Say whether nothing is at `path`, or a file of ours, which has `mark` in it."""
    if not os.path.exists(path):  # noqa: PTH110 - a name too long is none: writing it says so
        return True
    try:
        return os.path.isfile(path) and mark in path.read_bytes()  # noqa: PTH113
    except OSError:
        return False


def make_folder(path: Path) -> None:
    """Make the folder unless it is there, and check that files can be written in it.

    Raises:
        RunError: it can't be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"can't make folder {path}: {error.strerror}; try --output") from None
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise RunError(f"can't write in {path}: {error.strerror}; try --output") from None


def remove_leftovers(directory: Path, *, older_than: float = 0.0) -> None:
    """Delete the temporary files that a killed process left in `directory`.

    Args:
        older_than: seconds since they were written; where others may be writing just now, more
            than that takes.
    """
    for leftover in directory.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime >= older_than:
                leftover.unlink()
