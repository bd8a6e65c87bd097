"""The networks of a list, tried one after another in a process that may be lost: what can be cut, and how exactly."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.models.packages import Package, package_of
from dtcbench.plan import naming
from dtcbench.plan.cell import Choice
from dtcbench.plan.document import Document
from dtcbench.plan.names import REGISTERED
from dtcbench.registry import Plugin
from dtcbench.selftest.cutting import EXACT, Ours, Theirs, our_cut, torch_pruning_cut
from dtcbench.text import error_line
from dtcbench.validation import Strict, checked

LIST = Path(__file__).with_name("architectures.yaml")
"""Of 80 public networks."""
_OURS_S, _THEIRS_S = 600, 10
"""Seconds of the processor that a cut may take; Torch-Pruning does not come back from some networks."""


class _Block(Strict):
    """Networks that are tried on one shape of a sample."""

    input: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1, max_length=3)]
    models: list[Any]


class _List(Strict):
    """A list of networks: a suite's grid with the shape of a sample in the place of data sets."""

    name: str
    question: str
    cost: str
    grid: list[_Block]


@dataclass(frozen=True)
class Network:
    """A network of a list, and the shape of its samples."""

    model: Choice
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """`torchvision/resnet18`, with the class that a configuration names."""
        values = self.model.values
        if self.package is None:
            return self.model.label
        return "/".join([self.model.name, values["architecture"], *values["arguments"].get("architectures", [])])

    @property
    def missing(self) -> str:
        """Why it cannot be tried here; empty if it can."""
        return self.package.missing if self.package else ""

    @property
    def package(self) -> Package | None:
        """That which builds it."""
        return package_of(registry.models.get(self.model.name))


@dataclass(frozen=True)
class Trial:
    """What was seen of a network; where there is nothing to see, why."""

    network: Network
    ours: Ours | str
    theirs: Theirs | str

    @property
    def is_skipped(self) -> bool:
        """Whether its library is not installed."""
        return bool(self.network.missing)

    @property
    def holds(self) -> bool:
        """Whether it was cut, and its exact groups exactly."""
        return isinstance(self.ours, Ours) and self.ours.difference <= EXACT


def networks(path: Path, only: Collection[str]) -> list[Network]:
    """Those of the list whose library or architecture is named, or all; UserError if the list has a mistake."""
    try:
        document = Document.read(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a list of networks") from error
    blocks = checked(_List, document.value, str(path)).grid
    found = [
        Network(naming.choice("model", model, REGISTERED), tuple(block.input))
        for block in blocks
        for model in block.models
    ]
    if unknown := [name for name in only if not any(name in one.name.split("/") for one in found)]:
        raise UserError(f"{path}: has no network {unknown[0]!r}")
    return [one for one in found if not only or set(only) & set(one.name.split("/"))]


def trials(chosen: Sequence[Network], plugins: tuple[Plugin, ...]) -> Iterator[Trial]:
    """Every network of the list as it was tried, in their order."""
    child = _Child(plugins, [one.package.name for one in chosen if one.package and not one.missing])
    try:
        for network in chosen:
            if network.missing:
                yield Trial(network, network.missing, network.missing)
            else:
                yield Trial(
                    network,
                    child.answer(our_cut, network, _OURS_S),
                    child.answer(torch_pruning_cut, network, _THEIRS_S),
                )
    finally:
        child.end()


class _Child:
    """A process that measures networks one after another, and is started anew when it is lost."""

    def __init__(self, plugins: tuple[Plugin, ...], packages: Sequence[str] = ()) -> None:
        """packages : of the networks, imported once"""
        self._plugins = plugins
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *dict.fromkeys(packages)])
        self._process: Any = None
        self._connection: Connection

    def answer(self, measure: Callable[..., Any], network: Network, seconds: int) -> Any:
        """What `measure` finds, or why it finds nothing."""
        if self._process is None:
            self._connection, other = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(other, self._plugins), daemon=True)
            self._process.start()
            other.close()
        self._connection.send((measure, network, seconds))
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code, self._process = self._process.exitcode, None
            is_slow = code == -signal.SIGXCPU
            return f"no answer in {seconds} s" if is_slow else f"the process was lost (exit code {code})"

    def end(self) -> None:
        """Stop the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, plugins: tuple[Plugin, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    for plugin in plugins:
        plugin.load()
    while True:
        measure, network, seconds = connection.recv()
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + seconds + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        try:
            answer = measure(network.model, network.shape)
        except Exception as error:  # a network may raise anything, and so may Torch-Pruning
            answer = error_line(error)
        connection.send(answer)
