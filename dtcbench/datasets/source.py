"""A published file and the array in it: found in the user's folder, the cache or a mirror, and checked."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dtcbench.datasets import cache
from dtcbench.datasets.cache import Pin
from dtcbench.datasets.splits import AbsentDataError, Array, DatasetError

log = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT_S = 30
DOWNLOAD = "download from"
"""How the origin of files begins that are not on this machine."""


@dataclass(frozen=True)
class Package:
    """A package of the operating system that holds a dataset's files."""

    name: str
    """Of the package, as Debian and its descendants call it."""
    folder: Path
    """Where it puts the files."""


@dataclass(frozen=True)
class Source:
    """One published file and the one array it decodes to."""

    name: str
    """The file's name in the folder `$DTCBENCH_DATA_DIR/<dataset>/`."""
    urls: tuple[str, ...]
    """Addresses to download it from, tried in this order."""
    pin: Pin
    """The array's expected content; its name begins with the dataset's."""
    decode: Callable[[Path, tuple[int, ...]], Array]
    """`(file, the array's shape) -> array`; DatasetError names the problem without file or remedy."""
    package: Package | None = None
    """Where else the file may be, under the same name."""

    @property
    def dataset(self) -> str:
        """The name of the dataset it belongs to."""
        return self.pin.name.partition("/")[0]

    @property
    def folder(self) -> Path | None:
        """The user's own folder for this dataset; None without DTCBENCH_DATA_DIR."""
        root = os.environ.get("DTCBENCH_DATA_DIR")
        return Path(root) / self.dataset if root else None

    @property
    def given(self) -> Path | None:
        """The file in the user's own folder; None if it is not there."""
        return self.folder / self.name if self.folder and (self.folder / self.name).exists() else None

    @property
    def installed(self) -> Path | None:
        """The file of the installed package; None if it is not there."""
        return self.package.folder / self.name if self.package and (self.package.folder / self.name).exists() else None

    def load(self) -> Array:
        """The array, memory-mapped and read-only.

        It is searched in this order: the file in the user's folder, the decoded array in the cache, the file of an
        installed package, the file at its URLs.

        Raises
        ------
        DatasetError : the file in the folder is a different one or damaged, or no copy can be reached
        """
        path = self.given
        if path is None:
            return cache.obtain(self.pin, self._searched)
        return cache.obtain(self.pin, lambda: self._decoded_given(path), source=self._digest(path))

    def _digest(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error}); make it readable, or move it away") from error
        if self.pin.of == "file" and digest != self.pin.sha256:
            raise _refusal(path, f"not the published file (SHA-256 {digest[:12]}…, not {self.pin.sha256[:12]}…)")
        return digest

    def _decoded_given(self, path: Path) -> Array:
        try:
            return self._decoded(path)
        except DatasetError as error:
            raise _refusal(path, error) from error

    def _decoded(self, path: Path) -> Array:
        array = self.decode(path, self.pin.shape)
        problem = self.pin.problem(array)
        if problem:
            raise DatasetError(problem)
        return array

    def _searched(self) -> Array:
        tried = [
            f"{self.folder / self.name}: not there" if self.folder else "DTCBENCH_DATA_DIR: not set",
            f"{cache.folder()}: not cached",
        ]
        if self.installed:
            try:
                return self._decoded(self.installed)
            except DatasetError as error:
                log.warning("%s: %s", self.installed, error)
                tried.append(f"{self.installed}: {error}")
        elif self.package:
            tried.append(f"{self.package.folder / self.name}: not there")
        for url in self.urls:
            try:
                return self._fetch(url)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                log.warning("%s: %s", url, error)
                tried.append(f"{url}: {error}")
        package = f"install the package {self.package.name} (Debian, Ubuntu), " if self.package else ""
        raise AbsentDataError(
            "\n  ".join([f"{self.name}: no copy of this file of {self.dataset} was found; tried", *tried])
            + f"\n{package}set DTCBENCH_DATA_DIR to a folder with {self.dataset}/{self.name}, or run `dtcbench fetch"
            f" {self.dataset}` where there is a network, with DTCBENCH_CACHE_DIR set to a folder both machines see"
        )

    def _fetch(self, url: str) -> Array:
        import pooch

        # If only the array is pinned, pooch would advise on standard error to pin the file.
        pooch.get_logger().setLevel(logging.WARNING)
        log.info("downloading %s", url)
        known = f"sha256:{self.pin.sha256}" if self.pin.of == "file" else None
        with tempfile.TemporaryDirectory(prefix="dtcbench-") as folder:
            downloader = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S)
            path = pooch.retrieve(url, known_hash=known, fname=self.name, path=folder, downloader=downloader)
            return self._decoded(Path(path))


def origin(sources: Iterable[Source]) -> str:
    """Where these files would come from, in words, without reading them."""
    sources = list(sources)
    if all(source.given for source in sources):
        return f"folder {sources[0].folder}"
    if all(source.given or cache.is_cached(source.pin) for source in sources):
        return f"cache {cache.folder()}"
    if all(source.given or cache.is_cached(source.pin) or source.installed for source in sources):
        return " and ".join(dict.fromkeys(f"package {source.package.name}" for source in sources if source.package))
    hosts = dict.fromkeys(urlsplit(url).netloc for source in sources for url in source.urls)
    return f"{DOWNLOAD} {' or '.join(hosts)}"


def _refusal(path: Path, problem: object) -> DatasetError:
    return DatasetError(f"{path}: {problem}; put an intact copy there, or move it away to have it downloaded")
