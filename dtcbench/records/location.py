"""Where a run's files are: a folder of this machine, or an object store that fsspec knows (s3://, gs://, …).

Every file is written whole or not at all, and one process at a time writes to a folder.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import filelock
from upath import UPath

from dtcbench.errors import UserError
from dtcbench.files import whole
from dtcbench.heartbeat import Heartbeat

AnyPath: TypeAlias = Path | UPath
"""A file or a folder: a `Path` on this machine, else in an object store."""

BEAT_S = 5.0
"""Between two renewals of the lease on a folder of an object store."""
LEASE_S = 3 * BEAT_S
"""A lease that was not renewed for so long is free: its holder is dead."""
REMEDY = "choose another folder with --out"
warn = logging.getLogger("dtcbench").warning
"""Tells whoever waits for a folder without a run's watcher: on stderr, unless the program sets its logging up."""


class StoreError(UserError):
    """A run's folder cannot be used as asked; the message names it and the remedy."""


def place(text: str) -> AnyPath:
    """The place that a person names: a path, or an address such as `s3://bucket/folder`."""
    if "://" not in text:
        with suppress(RuntimeError):  # no home
            return Path(text).expanduser()
        return Path(text)
    try:
        there = UPath(text)
        there.exists()
    except ImportError as error:
        raise StoreError(f"{text}: {error}, with pip, or {REMEDY}") from error
    except Exception as error:  # each store has exceptions of its own
        raise StoreError(f"{text}: {type(error).__name__}: {error}; {REMEDY}") from error
    return there


def quotable(folder: AnyPath) -> str:
    """The folder as a page or a command to copy names it: never by where it lies on this machine.

    An address or a relative path stays as it is; an absolute path is taken from the current folder on, or, where it
    lies elsewhere, is its name alone.
    """
    if not isinstance(folder, Path) or not folder.is_absolute():
        return str(folder)
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else folder.name


def make_folder(folder: AnyPath, mode: int = 0o777) -> None:
    """Make the folder, with these permissions, if it does not exist; StoreError if that fails."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}; {REMEDY}") from error


def names_in(folder: AnyPath) -> list[str]:
    """The names of what a folder holds, in no order; none if there is no such folder."""
    if isinstance(folder, Path):
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(folder) as entries,
        ):  # no `Path` for each: there may be very many
            return [entry.name for entry in entries]
        return []
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def write(file: AnyPath, content: bytes) -> None:
    """Write a file, whole or not at all; StoreError if that fails."""
    try:
        if isinstance(file, Path):
            with whole(file) as half:
                half.write(content)
        else:
            file.fs.pipe_file(file.path, content)
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror or error}; free space or {REMEDY}") from error


def post(file: AnyPath, content: bytes) -> None:
    """Write a file that is soon written anew: whole or not at all, but a power cut may take it."""
    if not isinstance(file, Path):
        write(file, content)
        return
    half = file.with_name(f"{file.name}.tmp")
    try:
        half.write_bytes(content)
        half.replace(file)
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror or error}; free space or {REMEDY}") from error


def create(file: AnyPath, content: bytes) -> None:
    """Write a new file; StoreError if it exists."""
    taken = StoreError(f"{file} stands already; two runs wrote to one folder")
    if file.exists():
        raise taken
    if isinstance(file, Path):
        write(file, content)  # whoever writes here holds the folder
        return
    try:
        file.fs.pipe_file(file.path, content, mode="create")
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise StoreError(f"{file}: {error}; {REMEDY}") from error


def rename(file: AnyPath, name: str) -> None:
    """Give a file another name in its folder."""
    if isinstance(file, Path):
        file.rename(file.with_name(name))
    else:
        file.fs.mv(file.path, file.with_name(name).path)


@contextmanager
def held(folder: AnyPath, waits: Callable[[str], None] = warn) -> Iterator[Callable[[], None]]:
    """Hold the folder for one writer; StoreError if another process holds it.

    Yields a check to make before each write: it raises StoreError if the folder is no longer held.

    Parameters
    ----------
    waits : is told why, before this waits
    """
    with _locked(folder) if isinstance(folder, Path) else _leased(folder, waits) as check:
        yield check


@contextmanager
def _locked(folder: Path) -> Iterator[Callable[[], None]]:
    """The lock belongs to the process: the system frees it when that dies, however it dies."""
    lock, owner = filelock.FileLock(folder / ".lock"), folder / ".owner"
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise StoreError(f"{folder} is in use by {_holder(owner)}; wait for it to end, or {REMEDY}") from None
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; {REMEDY}") from error
    try:
        write(owner, this_process().encode())
        yield lambda: None  # nobody else can take the lock
    finally:
        with suppress(OSError):  # a disk that became read-only must not hide what it ended
            owner.unlink(missing_ok=True)
        lock.release()


def this_process() -> str:
    """This process as a message names it."""
    return f"process {os.getpid()} on {platform.node()}"


def _holder(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8")
    except OSError:  # it has just ended, or has not yet said who it is
        return "another process"


class _TakenOverError(StoreError):
    """The lease on a folder is another process's now."""


@contextmanager
def _leased(folder: UPath, waits: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """An object store frees nothing by itself: the lease is an object that its holder writes anew again and again. It
    has 16 bytes of the holder, 16 of the renewal, and the holder's process and host.

    A holder that cannot renew it for LEASE_S writes no more, because another process may hold the folder by then.
    Two processes that find a lease abandoned at the same moment may both go on; no record is lost then, as none is
    overwritten.
    """
    lease, holder = folder / ".lease", os.urandom(16)
    named = this_process().encode()

    def renewed() -> bytes:
        return holder + os.urandom(16) + named

    if (before := _held_by(lease)) is not None:
        whose = before[32:].decode(errors="replace") or "another process"
        waits(
            f"{folder}: its lease is of {whose}; this takes it over in {LEASE_S:g} s unless it is renewed; "
            "Ctrl-C ends the wait"
        )
        time.sleep(LEASE_S)
        if _held_by(lease) not in (None, before):
            raise StoreError(f"{folder} is in use by {whose}; wait for it to end, or {REMEDY}")
    write(lease, renewed())

    def is_ours() -> bool:
        return (_held_by(lease) or b"").startswith(holder)

    def renew() -> None:
        if not is_ours():
            raise _TakenOverError("another process has taken it over")
        write(lease, renewed())

    try:
        with Heartbeat(renew, BEAT_S) as heartbeat:

            def check() -> None:
                if heartbeat.silent_s > LEASE_S or isinstance(heartbeat.error, _TakenOverError):
                    why = f"not renewed for {heartbeat.silent_s:.0f} s ({heartbeat.error or 'no answer'})"
                    raise StoreError(
                        f"{folder}: its lease was {why}, so another process may write there; what is written stays: "
                        "the same command resumes"
                    )

            yield check
    finally:
        with suppress(Exception):  # each store has exceptions of its own; an abandoned lease is found to be one
            if is_ours():
                lease.unlink()


def _held_by(lease: UPath) -> bytes | None:
    """The content of the lease now, read anew; None if it does not exist."""
    lease.fs.invalidate_cache()
    try:
        content: bytes = lease.fs.cat_file(lease.path)
    except FileNotFoundError:
        return None
    return content
