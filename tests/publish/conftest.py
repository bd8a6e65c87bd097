"""Two small runs that are fit for publishing: one without energy, and one whose joules come from a made-up board.

Their figures on paper are sketches."""

import shutil

import pytest
from sketches import sketches
from suites_for_tests import TINY, edited
from tampering import clean_run, metered, records
from typer.testing import CliRunner

from dtcbench import cli
from dtcbench.publish.examine import check
from dtcbench.publish.findings import lines
from dtcbench.records.store import Store

THREE_SEEDS = edited(TINY, ("seeds: 1", "seeds: 3"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of nine cells, as if made from a clean checkout; only to be read."""
    return clean_run(tmp_path_factory.mktemp("finished"), THREE_SEEDS)


@pytest.fixture(scope="session")
def with_power(finished, tmp_path_factory):
    """The same run as if each cell had been metered on one GPU; only to be read."""
    folder = tmp_path_factory.mktemp("metered") / "tiny"
    shutil.copytree(finished, folder)
    for path in records(folder):
        metered(path, watts=300.0)
    with sketches():
        assert CliRunner().invoke(cli.app, ["report", str(folder)]).exit_code == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def gpu_run(with_power, tmp_path):
    """A copy of the metered run, to be changed."""
    return shutil.copytree(with_power, tmp_path / "gpu")


@pytest.fixture
def found():
    """`found(folder)`: what a check finds, one line a finding."""
    return lambda folder: lines(check(Store(folder)))
