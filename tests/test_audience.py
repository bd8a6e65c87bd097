"""Runs and verbs whose reader leaves, whose terminal goes away, or that are told to stop."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from mishaps import MISHAPS, pid_of, release
from suites_for_tests import TINY, edited

from dtcbench import cli
from dtcbench.records.lookup import run_named

LOST = "dtcbench: standard output was lost: "


def start(*arguments, cwd, redirection="", **how):
    """The command as a user types it, in a process of its own. A redirection comes after standard error is a pipe."""
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])} | how.pop("env", {})
    command = [sys.executable, "-m", "dtcbench", *arguments]
    if redirection:
        command = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command]
        how["stderr"] = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **how)


def ended(process):
    """Its exit code, and what it wrote on standard error, if that is a pipe."""
    _, err = process.communicate(timeout=180)
    return process.returncode, err


@pytest.fixture
def patient(tmp_path):
    """A folder with patient.yaml, whose second of three cells waits for the test, and its plug-in."""
    for pipe in ("begun", "go"):
        os.mkfifo(tmp_path / pipe)
    (tmp_path / "mishaps.py").write_text(MISHAPS.source)
    mishap = f"{{name: mishap, what: wait, folder: '{tmp_path}'}}"
    text = edited(TINY, ("name: tiny", "name: patient"), ("[dtc, magnitude]", f"[{mishap}, random]"))
    (tmp_path / "patient.yaml").write_text(edited(text, ("    solvers: [lars]\n", "")))
    return tmp_path


RUN_PATIENT = ("run", "patient.yaml", "--plugin", "mishaps.py")


def statuses(folder):
    """How the patient run's cells ended."""
    records = [record for attempts in run_named(str(folder)).read().attempts.values() for record in attempts]
    return sorted(record.status.value for record in records)


# a reader leaves, a device is full, standard output is closed


@pytest.mark.parametrize("verb", [("plan", "tiny.yaml"), ("board", "tiny")])
def test_a_verb_whose_reader_left_ends_quietly(verb, tiny_workplace):
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*verb, cwd=tiny_workplace, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert ended(process) == (0, "")


@pytest.mark.parametrize(("redirection", "why"), [(">/dev/full", os.strerror(errno.ENOSPC)), (">&-", "it is closed")])
def test_a_verb_that_cannot_print_says_so_in_one_line_and_is_no_success(redirection, why, tiny_workplace):
    assert ended(start("board", "tiny", cwd=tiny_workplace, redirection=redirection)) == (2, f"{LOST}{why}\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_that_cannot_be_printed_is_no_success_of_a_run_either(option, tmp_path):
    told = f"{LOST}{os.strerror(errno.ENOSPC)}\n"
    assert ended(start("run", option, cwd=tmp_path, redirection=">/dev/full")) == (2, told)


@pytest.mark.parametrize("redirection", [">/dev/full", ">&- 2>&- <&-"])
def test_a_run_that_cannot_print_does_all_its_cells_and_its_tables(redirection, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    told = f"{LOST}{os.strerror(errno.ENOSPC)}; the run went on without it\n" if "full" in redirection else ""
    assert ended(start("run", "tiny.yaml", "--inline", cwd=tmp_path, redirection=redirection)) == (0, told)
    assert statuses(tmp_path / "runs/tiny") == ["ok", "ok", "ok"]
    assert (tmp_path / "runs/tiny/leaderboard.html").exists()


def test_ctrl_c_after_the_reader_left_finishes_the_cell_under_way_and_makes_the_tables(patient):
    reader, writer = os.pipe()
    run = start(*RUN_PATIENT, "--inline", cwd=patient, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    pid_of(patient)
    os.close(reader)
    run.send_signal(signal.SIGINT)
    release(patient)
    assert ended(run) == (1, f"{LOST}{os.strerror(errno.EPIPE)}; the run went on without it\n")
    assert statuses(patient / "runs/patient") == ["ok", "ok"]
    assert (patient / "runs/patient/leaderboard.html").exists()


# the terminal goes away


def test_an_inline_run_goes_on_when_its_terminal_cannot_be_written_any_more(patient):
    terminal, slave = os.openpty()
    run = start(*RUN_PATIENT, "--inline", cwd=patient, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    pid_of(patient)
    os.close(terminal)
    release(patient)
    assert ended(run)[0] == 0
    assert statuses(patient / "runs/patient") == ["ok", "ok", "ok"]


def own_the_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.ray
def test_a_terminal_that_goes_away_stops_the_run_and_the_cell_under_way_on_ray_ends_well(patient):
    terminal, slave = os.openpty()
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    run = start(*RUN_PATIENT, "--workers", "1", cwd=patient, **streams, preexec_fn=own_the_terminal)
    os.close(slave)
    pid_of(patient)
    os.close(terminal)  # the kernel sends SIGHUP to the run and to all of Ray
    release(patient)
    assert ended(run)[0] == 1
    assert statuses(patient / "runs/patient") == ["ok", "ok"]
    assert (patient / "runs/patient/leaderboard.html").exists()


# signals


def test_sigterm_finishes_the_cell_under_way_says_so_and_makes_the_tables(patient):
    run = start(*RUN_PATIENT, "--inline", cwd=patient, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pid_of(patient)
    run.send_signal(signal.SIGTERM)
    release(patient)
    out, err = run.communicate(timeout=180)
    assert (run.returncode, err) == (1, "")
    assert "stopping: " in out
    assert "leaderboard.html" in out
    assert statuses(patient / "runs/patient") == ["ok", "ok"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_the_cells_and_the_end_is_exit_code_130_and_says_how_to_go_on(
    signum, tiny_workplace, dtcbench, monkeypatch
):
    monkeypatch.chdir(tiny_workplace)
    monkeypatch.setattr("dtcbench.records.contributions.read", lambda *_: os.kill(os.getpid(), signum))
    got = dtcbench("board", "tiny")
    assert (got.code, got.err) == (130, "dtcbench: stopped; the same command resumes\n")


# terminals that are not UTF-8


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_every_verb_prints_in_every_encoding_with_the_same_exit_code(encoding, tiny_workplace, monkeypatch, tmp_path):
    monkeypatch.chdir(tiny_workplace)
    key = next((tiny_workplace / "runs/tiny/records").glob("*.json")).name[:12]
    verbs = [["--help"], ["run", "--help"], ["list"], ["list", "--groups", "lenet-5"], ["plan", "tiny.yaml"]]
    verbs += [["status", "tiny"], ["show", key], ["board", "tiny"], ["claims", "tiny"], ["compare", "tiny", "tiny"]]
    for verb in verbs:
        with (tmp_path / "out").open("w", encoding=encoding) as out:
            monkeypatch.setattr(sys, "stdout", out)
            monkeypatch.setattr(sys, "argv", ["dtcbench", *verb])
            with pytest.raises(SystemExit) as end:
                cli.main()
        assert not end.value.code, verb
        assert (tmp_path / "out").read_text(encoding=encoding).strip(), verb


def test_a_run_on_an_ascii_terminal_is_a_success_and_reads_well(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    run = start("run", "tiny.yaml", "--inline", cwd=tmp_path, env=plain, **pipes)
    out, err = run.communicate(timeout=180)
    assert (run.returncode, err) == (0, "")
    assert out.isascii()
    assert "leaderboard.html" in out
    assert "?" not in out.replace("Does it run?", "")
