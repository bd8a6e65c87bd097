"""What identifies the code of an installed release: it has no commit, but an installer's list of its files."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import importlib.metadata
from pathlib import Path

NOT_INSTALLED = "the code is no installed release: no installer listed its files"


@functools.cache
def source_sha256(package: Path) -> tuple[str | None, str]:
    """The digest of the installed release in the folder `package`, or None and the reason, as this process first found.

    Every file must be what the installer listed, and none may have been added: a file in the folder of an axis is
    imported by being there. The digest is the SHA-256 of what
    `find dtcbench -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum`
    prints beside `package`, or where the wheel was unpacked.
    """
    listed = _listed(package)
    if listed is None:
        return None, NOT_INSTALLED
    try:
        present = {path.relative_to(package.parent).as_posix(): path.read_bytes() for path in _files(package)}
    except OSError as error:
        return None, f"the installed files cannot be read: {error.strerror}"
    digests = {name: hashlib.sha256(content) for name, content in present.items()}
    found = {name: base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() for name, digest in digests.items()}
    if found != listed:
        changed = min(name for name, _ in found.items() ^ listed.items())
        return None, f"the installed files are not those of a release: {changed} was changed, added or removed"
    text = "".join(f"{digests[name].hexdigest()}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest(), ""


def _listed(package: Path) -> dict[str, str] | None:
    """The SHA-256 of each file of the package by the installer's RECORD, as it is written there; None without one."""
    try:
        release = importlib.metadata.distribution(package.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    record = release.read_text("RECORD")
    if record is None or Path(str(release.locate_file(package.name))).resolve() != package:
        return None
    # Not release.files: since Python 3.12 it leaves out the files that are gone.
    return {
        name: digest.removeprefix("sha256=")
        for name, digest, *_ in csv.reader(record.splitlines())
        if name.startswith(f"{package.name}/") and "__pycache__" not in name.split("/")
    }


def _files(package: Path) -> list[Path]:
    return [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
