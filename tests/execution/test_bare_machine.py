"""Runs on a machine without a network, not even a loopback interface."""

import shutil
import subprocess
import sys

import pytest
from suites_for_tests import TINY

UNSHARE = shutil.which("unshare")


def without_network(*arguments, folder):
    """dtcbench's command in a network namespace of its own, whose loopback is down."""
    command = [UNSHARE, "--net", sys.executable, "-m", "dtcbench", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path):
    if UNSHARE is None or subprocess.run([UNSHARE, "--net", "true"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def test_without_loopback_a_run_says_so_at_once_and_what_to_do(folder):
    ended = without_network("run", "tiny.yaml", folder=folder)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "nothing can connect to 127.0.0.1" in line
    assert "ip link set lo up" in line
    assert "--inline" in line
    assert not (folder / "runs").exists()


def test_without_loopback_an_inline_run_is_a_run(folder):
    ended = without_network("run", "tiny.yaml", "--inline", folder=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
