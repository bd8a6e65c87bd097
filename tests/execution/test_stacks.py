"""Stacks name files from the package on and never a folder of the machine; a time limit leaves one behind."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import dtcbench
from dtcbench.execution.stacks import stack_file, take_stack, time_limit, without_places

FAIL = """
import faulthandler, sys, traceback
from dtcbench.execution.stacks import without_folders
from dtcbench.plan import shipped

def fails(shown):
    try:
        shipped.text(shown)
    except ValueError:
        shown.stack()

class Shown(str):
    def __repr__(self):
        self.stack()
        return "x"

    def stack(self):
        faulthandler.dump_traceback(open("stack", "w"))
        print(without_folders(open("stack").read()))
        print(without_folders("".join(traceback.format_stack())))
        print(without_folders(traceback.format_exc()))

fails(Shown("x"))
from pydantic import TypeAdapter
try:
    TypeAdapter(int).validate_python("x")
except ValueError:
    print(without_folders(traceback.format_exc()))
"""


@pytest.mark.parametrize(
    "folder", ["dtcbench", "my bench", "x", "dtcbench/dtcbench", "site-packages/src", 'say "hi"', "Größe ☺"]
)
def test_a_stack_names_files_from_the_package_on_in_a_folder_of_any_name(tmp_path, folder):
    home = tmp_path / folder
    (home / "tests").mkdir(parents=True)
    (home / "dtcbench").symlink_to(Path(dtcbench.__file__).parent)
    (home / "tests" / "fail.py").write_text(FAIL)
    ended = subprocess.run(
        [sys.executable, str(home / "tests" / "fail.py")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(home), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    files = [line.split('"', 1)[1].rpartition('"')[0] for line in ended.stdout.splitlines() if 'File "' in line]
    assert len(files) >= 10
    assert set(files) == {"fail.py", "dtcbench/plan/shipped.py", "site-packages/pydantic/type_adapter.py"}


def test_a_message_names_files_from_the_users_own_folders_on(tmp_path, monkeypatch):
    for name in ("data", "here", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    told = f"{tmp_path}/data/mnist/x.gz is not {tmp_path}/here/x.gz nor {tmp_path}/home/.cache/x.gz"
    assert without_places(told) == "$DTCBENCH_DATA_DIR/mnist/x.gz is not ./x.gz nor ~/.cache/x.gz"
    monkeypatch.setenv("DTCBENCH_DATA_DIR", "")
    monkeypatch.chdir("/")
    assert without_places("1/2 and /etc/passwd") == "1/2 and /etc/passwd"


def test_places_are_named_where_a_path_begins_and_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for told in (f"/mnt{tmp_path}/x.npy", f"https://host{tmp_path}/y", "/srv/metadata/x"):
        assert without_places(told) == told
    assert without_places(f"{tmp_path}/data/x and '{tmp_path}/z'") == "$DTCBENCH_DATA_DIR/x and './z'"
    monkeypatch.setenv("DTCBENCH_DATA_DIR", "data")
    assert without_places("/srv/metadata/x") == "/srv/metadata/x"


def test_a_user_without_a_home_in_a_folder_that_is_gone_has_messages_all_the_same(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("pathlib.Path.home", none)
    monkeypatch.setattr("pathlib.Path.cwd", gone)
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    assert without_places("/a/b: no such file") == "/a/b: no such file"


# time limits

HOLDS_THE_LOCK = "re.match(r'(a+)+$', 'a' * 60 + 'b')"
"""A regular expression that backtracks for ages inside one call, with Python's global lock held."""
WAITS = "threading.Event().wait()"


@pytest.mark.parametrize("hang", [WAITS, HOLDS_THE_LOCK])
def test_a_process_that_hangs_ends_at_its_limit_and_leaves_its_stack(hang):
    attempt = f"test-{abs(hash(hang))}"
    script = (
        "import re, threading\nfrom dtcbench.execution.stacks import time_limit\n"
        f"def stuck():\n    {hang}\n"
        f"with time_limit(0.5, {attempt!r}):\n    stuck()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert "in stuck" in take_stack(attempt)
    assert take_stack(attempt) == ""


def test_what_ends_in_time_leaves_nothing():
    with time_limit(60.0, "in-time"):
        assert stack_file("in-time").exists()
    assert not stack_file("in-time").exists()
    with time_limit(None, "no-limit"):
        assert not stack_file("no-limit").exists()


@pytest.mark.parametrize("error", [FileNotFoundError("no usable temporary directory"), OSError(28, "No space left")])
def test_where_no_stack_can_be_kept_the_work_is_done_all_the_same(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    done = []
    with time_limit(60.0, "nowhere"):
        done.append("work")
    assert done == ["work"]
    assert take_stack("nowhere") == ""
