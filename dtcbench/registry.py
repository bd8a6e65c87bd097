"""The grid's named axes: models, data sets, methods, solvers and protocols, of dtcbench itself and of plug-ins.

An axis value is a callable registered under a name. Its keyword-only parameters with a default are its options; a
suite's YAML is validated against their annotations. An option at its default is not part of a cell's key, so a value
whose default changes needs a higher `version`.

    @register_solver("lars")
    def lars(theta, y, lam, *, max_iterations: int = 500): ...

A method has one to three more options, which its code does not see: how a cell uses it (`stream`, `groups`, `when`). So
has a model: what it starts from (`Start`); and a protocol has those of its cycles (`Cycles`).

A value comes from a module in the axis's own package (every file in `dtcbench/solvers/` is imported), from an
installed plug-in (entry point group `dtcbench.solvers`), or from a file given as `--plugin file.py`. dtcbench's own
protocols are no axis values: every version knows them by their names (`OWN_PROTOCOLS`).
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import linecache
import logging
import pkgutil
import sys
import threading
import traceback
import types
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, PydanticUserError, create_model

from dtcbench.cycles import Cycles
from dtcbench.errors import UserError, near
from dtcbench.validation import Strict, checked

Value = TypeVar("Value", bound=Callable[..., Any])
Groups = Literal["simple", "coupled", "approximate"]
"""What may go: neurons between two layers; also channels and heads that go together; also those without which a
normalisation computes something else (docs/networks.md)."""
log = logging.getLogger(__name__)
_FOLDER = Path(__file__).parent
_IMPORTING = threading.RLock()
"""Held while values are imported: another thread must not see half of them."""
PLUGIN_PREFIX = "dtcbench_plugin_"
"""The name of each `--plugin` file's module begins with this."""


class Usage(Strict):
    """The options that every method has without stating them: how a cell uses the method."""

    stream: Annotated[int, Field(ge=0)] = 0
    """Another one draws the data order and the method's random numbers anew, for the same weights and split."""


class UsageOfCut(Usage):
    """Those of a method that has to know which neurons can go."""

    groups: Groups = "simple"
    """What may go: neurons between two layers; also channels and heads that go together; also those without which a
    normalisation computes something else (docs/networks.md)."""


class UsageOfChoice(UsageOfCut):
    """Those of a method that chooses neurons."""

    when: Literal["during", "after", "rewind"] = "during"
    """Neurons go while the network trains; at once after most of the training; or so, and the rest begin again with
    their initial weights (docs/design.md, Protocols)."""


class Start(Strict):
    """The options that every model has without stating them: what it starts from."""

    weights: str = ""
    """A safetensors file with values of all its parameters and buffers, in place of those that it draws."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Of the file's tensors; found when a suite is planned."""


class PluginError(UserError):
    """A plug-in file cannot be read, fails while it is imported, or registers a name that is taken."""


@dataclass(frozen=True)
class Entry:
    """One axis value, and where it was registered."""

    value: Callable[..., Any]
    version: int = 1
    origin: str = ""
    """The callable's name and the line that registers it, for messages."""
    module: str = "dtcbench"
    """The module that registers it."""
    source_sha256: str | None = None
    """SHA-256 of the source when it was registered: of an installed plug-in's module, or of the notebook's cell that
    defines the value; else None."""

    @property
    def plugin(self) -> str | None:
        """Name of the plug-in's file or installed module, or of the class or function that a notebook defines; None for
        dtcbench's own values."""
        if _is_interactive(self.value):
            return f"{self.module}.{self.origin.partition(' ')[0]}"
        if self.module.startswith(PLUGIN_PREFIX):
            return self.module.removeprefix(PLUGIN_PREFIX).rpartition("_")[0]
        return None if self.module.partition(".")[0] == __package__ else self.module


class Registry:
    """The values of one axis of the grid: callables by name, and their options."""

    def __init__(
        self,
        noun: str,
        shared: Callable[[Callable[..., Any]], type[BaseModel]] | None = None,
        taken: Collection[str] = (),
    ) -> None:
        """`shared` gives the options that a value has beside its own; its code does not see them. No value may have a
        name that is `taken`."""
        self.noun = noun
        self._taken = taken
        self._shared = shared or (lambda _value: Strict)
        self._package = f"dtcbench.{noun}s"
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def register(self, name: str, *, version: int = 1) -> Callable[[Value], Value]:
        """Decorator that makes a callable the axis value `name`. PluginError if the name is taken.

        Raise `version` if a default changes or if the value computes something else: options at their defaults are
        not part of a cell's key.
        """

        def add(value: Value) -> Value:
            entry, known = _entry(value, version, inspect.currentframe()), self._entries.get(name)
            if name in self._taken:
                raise PluginError(
                    f"{self.noun} {name!r} is both dtcbench's own and {entry.origin}; give yours another name"
                )
            if known is not None and _is_earlier(known, entry):
                sys.modules.pop(known.module, None)
                _forget_failed_modules()
                known = self._entries.get(name)
            if known is not None and not (_is_interactive(value) and _is_interactive(known.value)):
                raise PluginError(
                    f"{self.noun} {name!r} is both {known.origin} and {entry.origin}; give one of them another name"
                )
            if hidden := _fields_that_are_no_options(value):
                raise PluginError(
                    f"{self.noun} {name!r} is {entry.origin}, whose {', '.join(hidden)} no suite can set; write "
                    "@dataclass(frozen=True, kw_only=True) above the class, and a default for each option, or leave "
                    "the annotation out"
                )
            if taken := sorted(_parameters(value) & self._shared(value).model_fields.keys()):
                raise PluginError(
                    f"{self.noun} {name!r} is {entry.origin}, whose option {', '.join(taken)} every {self.noun} has; "
                    "give it another name"
                )
            self._entries[name] = entry
            return value

        return add

    def forget_failed_modules(self) -> None:
        """Remove the values of modules that are no longer in `sys.modules`, such as those whose import failed."""
        self._entries = {name: entry for name, entry in self._entries.items() if entry.module in sys.modules}

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self.discover()
        return sorted(self._entries)

    def entry(self, name: str) -> Entry:
        """The entry of `name`; UserError, with near matches, if the axis lacks it."""
        self.discover()
        if name not in self._entries:
            raise UserError(f"unknown {self.noun} {name!r}; {near(name, self.names())}")
        return self._entries[name]

    def get(self, name: str) -> Callable[..., Any]:
        """The callable registered as `name`; UserError if the axis lacks it."""
        return self.entry(name).value

    def options(self, name: str) -> type[BaseModel]:
        """The pydantic model of `name`'s options: its keyword-only parameters, then those that the axis shares."""
        value = self.get(name)
        try:
            return _options_model(value, self._shared(value))
        except (NameError, PydanticUserError) as error:
            raise PluginError(f"{self.noun} {name!r}: an option's annotation cannot be used: {error}") from error

    def defaults(self, name: str) -> dict[str, Any]:
        """The options of `name` that have a default, each with it as a JSON value."""
        options = self.options(name)
        return options.model_construct().model_dump(mode="json", exclude=set(self.required(name)))

    def required(self, name: str) -> list[str]:
        """The options of `name` that a suite has to give: none, or some of those that the axis shares."""
        return [option for option, field in self.options(name).model_fields.items() if field.is_required()]

    def bind(self, name: str, options: dict[str, Any]) -> Any:
        """`name` with its options filled in: a function with these arguments bound, or an instance of a class.

        Options that the axis shares are checked and left out.

        MisfitError names each option that does not exist or does not fit, its value and what is allowed.
        """
        value, fitting = self.get(name), self.checked(name, options)
        own = options.keys() - self._shared(value).model_fields.keys()
        given = {option: getattr(fitting, option) for option in options if option in own}
        return value(**given) if inspect.isclass(value) else functools.partial(value, **given)

    def checked(self, name: str, options: dict[str, Any]) -> BaseModel:
        """All options of `name`, defaults filled in; MisfitError if some of `options` do not fit."""
        return checked(self.options(name), options, f"{self.noun} {name!r}")

    def summary(self, name: str) -> str:
        """The first line of `name`'s docstring."""
        return (inspect.getdoc(self.get(name)) or "").partition("\n")[0]

    def discover(self) -> None:
        """Import dtcbench's own values and those of installed plug-ins, once.

        A call in another thread meanwhile waits until all are there.
        """
        with _IMPORTING:
            if self._discovered:  # or a module that is being imported asks
                return
            self._discovered = True
            try:
                folder = importlib.util.find_spec(self._package)  # none of protocols
                for module in pkgutil.iter_modules(folder.submodule_search_locations if folder else ()):
                    importlib.import_module(f"{self._package}.{module.name}")
                for entry in importlib.metadata.entry_points(group=self._package):
                    _load(entry)
            except BaseException:
                self._discovered = False  # the next call tries again, and raises the same error
                _forget_failed_modules()
                raise


def _load(entry: importlib.metadata.EntryPoint) -> None:
    """Import an installed plug-in. If it fails, a warning is logged and none of its values is registered."""
    try:
        entry.load()
    except Exception as error:
        log.warning("plug-in %s (%s) is left out: %s", entry.name, entry.value, error)
        _forget_failed_modules()


def _forget_failed_modules() -> None:
    for axis in AXES:
        axis.forget_failed_modules()


def _entry(value: Callable[..., Any], version: int, frame: types.FrameType | None) -> Entry:
    """The entry of a value that the caller of `frame` registers; its origin is `lars (dtcbench/solvers/lars.py:21)`."""
    called = getattr(value, "__qualname__", type(value).__name__)
    caller = frame.f_back if frame else None
    if caller is None:
        return Entry(value, version, called, value.__module__)
    file, module = Path(caller.f_code.co_filename), caller.f_globals["__name__"]
    inside = file.is_relative_to(_FOLDER)
    origin = f"{called} ({file.relative_to(_FOLDER.parent) if inside else file}:{caller.f_lineno})"
    entry = Entry(value, version, origin, module)
    if _is_interactive(value):
        source = "".join(linecache.getlines(caller.f_code.co_filename))  # where IPython keeps it
        return replace(entry, source_sha256=hashlib.sha256(source.encode()).hexdigest()) if source else entry
    if entry.plugin != module or not file.is_file():  # dtcbench's own, a --plugin file's, or typed at a prompt
        return entry
    return replace(entry, source_sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def _is_earlier(known: Entry, entry: Entry) -> bool:
    """Whether `known` comes from an earlier version of the `--plugin` file that registers `entry`."""
    is_file = entry.module.startswith(PLUGIN_PREFIX)
    return is_file and known.module != entry.module and known.plugin == entry.plugin


def _is_interactive(value: Callable[..., Any]) -> bool:
    """Whether `value` was defined at a prompt or in a notebook, where one redefines it to change it."""
    return value.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__")


def _fields_that_are_no_options(value: Callable[..., Any]) -> list[str]:
    """The annotated fields of a class that are not keyword-only parameters with a default."""
    if not inspect.isclass(value):
        return []
    options = _parameters(value)
    fields = inspect.get_annotations(value).items()
    return [name for name, kind in fields if name not in options and "ClassVar" not in str(kind)]


def _is_option(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty


def _parameters(value: Callable[..., Any]) -> set[str]:
    return {p.name for p in inspect.signature(value).parameters.values() if _is_option(p)}


@functools.cache
def _options_model(value: Callable[..., Any], shared: type[BaseModel]) -> type[BaseModel]:
    parameters = inspect.signature(value, eval_str=True).parameters.values()
    fields: dict[str, Any] = {
        p.name: (Any if p.annotation is p.empty else p.annotation, p.default) for p in parameters if _is_option(p)
    }
    own = create_model("Own", __base__=Strict, **fields)
    return create_model("Options", __base__=(shared, own) if shared is not Strict else own)


@dataclass(frozen=True)
class Plugin:
    """A plug-in file's name and source text, so that a worker on another machine can load it."""

    name: str
    source: str

    @classmethod
    def read(cls, path: Path) -> Plugin:
        """Read `path`; PluginError if it cannot be read."""
        try:
            return cls(path.stem, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise PluginError(f"--plugin {path}: {reason}; give the path of a Python file") from error

    @classmethod
    def read_all(cls, paths: Iterable[Path]) -> tuple[Plugin, ...]:
        """Read every file, each once; PluginError if two different files have one name, by which records name them."""
        plugins: dict[str, Plugin] = {}
        for path in paths:
            plugin = cls.read(path)
            if plugins.setdefault(plugin.name, plugin) != plugin:
                raise PluginError(f"--plugin {path}: another plug-in is called {path.name} too; rename one of them")
        return tuple(plugins.values())

    @property
    def sha256(self) -> str:
        """SHA-256 of its source text, UTF-8."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def module(self) -> str:
        """Name of its module."""
        return f"{PLUGIN_PREFIX}{self.name}_{self.sha256[:8]}"

    def load(self) -> None:
        """Run the source once, so that its decorators register their values; PluginError if it fails.

        If it registers a name of an earlier version of this file, it replaces all values of that version.
        """
        with _IMPORTING:
            if self.module not in sys.modules:
                self._run()

    def _run(self) -> None:
        for axis in AXES:
            axis.discover()  # dtcbench's own values come first: the plug-in is at fault if a name is taken
        before = {name: module for name, module in sys.modules.items() if name.startswith(PLUGIN_PREFIX)}
        entries = [dict(axis._entries) for axis in AXES]
        module = types.ModuleType(self.module)
        sys.modules[self.module] = module
        try:
            code = compile(self.source, f"{self.name}.py", "exec")
            exec(code, module.__dict__)  # noqa: S102 - the user named this file to be run
        except BaseException as error:
            del sys.modules[self.module]
            _forget_failed_modules()
            sys.modules.update(before)
            for axis, known in zip(AXES, entries, strict=True):
                axis._entries = known | axis._entries
            if not isinstance(error, Exception):
                raise
            what = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            raise PluginError(f"--plugin {self._line_of(error)}: {what}") from error

    def _line_of(self, error: Exception) -> str:
        """`file.py:7`, the line of this file at which the error was raised or passed."""
        file = f"{self.name}.py"
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f"{file}:{lines[-1]}" if lines else file


def load_plugins(paths: Iterable[Path]) -> tuple[Plugin, ...]:
    """Read and load every plug-in file; PluginError names one that cannot be used."""
    plugins = Plugin.read_all(paths)
    for plugin in plugins:
        plugin.load()
    return plugins


def plugins_of(values: Iterable[tuple[str, str]], files: Iterable[Plugin]) -> dict[str, str]:
    """SHA-256 of the source of each plug-in that registers one of the values, by its file's or its module's name.

    Parameters
    ----------
    values : noun of the axis and name of each value; unknown ones are ignored
    files : the loaded plug-in files
    """
    wanted, digests = set(values), {plugin.name: plugin.sha256 for plugin in files}
    entries = [axis.entry(name) for axis in AXES for name in axis.names() if (axis.noun, name) in wanted]
    sources = {entry.plugin: entry.source_sha256 or digests.get(entry.plugin) for entry in entries if entry.plugin}
    return {plugin: digest for plugin, digest in sources.items() if digest}


def without_source(values: Iterable[tuple[str, str]]) -> list[str]:
    """Those of the values (noun of the axis, name) that were defined at a prompt that keeps no source."""
    return [
        f"{noun} {name!r}"
        for noun, name, entry in _known(values)
        if _is_interactive(entry.value) and entry.source_sha256 is None
    ]


def in_this_process_only(values: Iterable[tuple[str, str]], files: Iterable[Plugin]) -> list[str]:
    """Those of the values that another process does not find: neither installed nor from one of the plug-in files."""
    entry_points = (entry for axis in AXES for entry in importlib.metadata.entry_points(group=f"dtcbench.{axis.noun}s"))
    found = {plugin.name for plugin in files}
    installed = {entry.module.partition(".")[0] for entry in entry_points}
    return [
        f"{noun} {name!r}"
        for noun, name, entry in _known(values)
        if entry.plugin and entry.plugin not in found and entry.module.partition(".")[0] not in installed
    ]


def _known(values: Iterable[tuple[str, str]]) -> list[tuple[str, str, Entry]]:
    wanted = set(values)
    return [
        (axis.noun, name, axis.entry(name)) for axis in AXES for name in axis.names() if (axis.noun, name) in wanted
    ]


def _chooses(method: Callable[..., Any]) -> bool:
    return getattr(method, "removal", "scored") == "scored"


def _usage(method: Callable[..., Any]) -> type[Usage]:
    if _chooses(method):
        return UsageOfChoice
    keeps_all = getattr(method, "removal", "") == "never" and getattr(method, "budget", "steps") == "steps"
    return Usage if keeps_all else UsageOfCut


USAGE = frozenset(UsageOfChoice.model_fields)
"""The names of the options that say how a cell uses a method."""
models = Registry("model", lambda _: Start)
datasets = Registry("dataset")
methods = Registry("method", _usage)
solvers = Registry("solver")
OWN_PROTOCOLS = ("standard", "published")
protocols = Registry("protocol", lambda _: Cycles, taken=OWN_PROTOCOLS)
AXES = (models, datasets, methods, solvers, protocols)
register_model = models.register
register_dataset = datasets.register
register_method = methods.register
register_solver = solvers.register
register_protocol = protocols.register


def compresses_in_cycles(method: str) -> bool:
    """Whether this method removes neurons cycle by cycle. For an unknown method the answer is yes."""
    known = method in methods.names()
    return not known or _chooses(methods.get(method))


def uses_solver(method: str) -> bool:
    """Whether this method needs a recovery solver."""
    return bool(getattr(methods.get(method), "uses_solver", False))
