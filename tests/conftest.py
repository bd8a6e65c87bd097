"""A cache folder of the session's own, the command line, one tiny run that several tests look at, and a browser."""

from __future__ import annotations

import contextlib
import signal
import sys
from dataclasses import dataclass

import browser as browsers
import hypothesis
import pytest
from sketches import sketches
from suites_for_tests import TINY
from typer.testing import CliRunner

from dtcbench import cli, registry

hypothesis.settings.register_profile("dtcbench", deadline=None)  # a slow machine is no failure
hypothesis.settings.load_profile("dtcbench")


def pytest_collection_modifyitems(items):
    """Where several processes share the tests: those of a module stay together, and those that start Ray too."""
    for item in items:
        starts_ray = item.get_closest_marker("ray") or item.get_closest_marker("cluster")
        item.add_marker(pytest.mark.xdist_group("ray" if starts_ray else item.module.__name__))


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal():
    """Under nohup, or in the background of a script, some are ignored, and so they are in every child."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def environment_of_this_session(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("COLUMNS", raising=False)  # what is printed is as wide as the test says
        yield


@pytest.fixture(autouse=True)
def axes_as_they_were(monkeypatch):
    """What a test registers is gone after it, and its plug-in files may be loaded again.

    What a fixture of a wider scope has loaded stays, with its registrations.
    """
    before = set(sys.modules)
    for axis in registry.AXES:
        axis.discover()
        monkeypatch.setattr(axis, "_entries", dict(axis._entries))
    yield
    for name in [name for name in sys.modules if name.startswith(registry.PLUGIN_PREFIX) and name not in before]:
        del sys.modules[name]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def dtcbench(monkeypatch, capsys):
    """`dtcbench("plan", "s.yaml")`: the entry point itself, in this process."""

    def call(*arguments) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dtcbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Ended(ended.value.code or 0, out, err)

    return call


@pytest.fixture
def sketched():
    """What the test runs and reports has sketches for figures on paper."""
    with sketches():
        yield


@pytest.fixture(scope="session")
def tiny_workplace(tmp_path_factory):
    """A folder with tiny.yaml and its finished run, runs/tiny; only to be read."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(TINY)
    with contextlib.chdir(folder):
        ended = CliRunner().invoke(cli.app, ["run", "tiny.yaml", "--inline"])
    assert ended.exit_code == 0, ended.output
    return folder


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; of a module, so that tests of other modules may run event loops of their own."""
    with browsers.chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser):
    """`visit(file, scheme="dark", size=PHONE)`: the page, loaded in a fresh window that closes after the test."""
    with contextlib.ExitStack() as windows:
        yield lambda file, **how: windows.enter_context(browsers.visit(browser, file, **how))
