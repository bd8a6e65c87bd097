"""Batch jobs on a real Slurm of two nodes on this machine: side by side, at their limit, cancelled."""

import os
import re
from pathlib import Path

import pytest
from mishaps import MISHAPS, pid_of, release
from suites_for_tests import TINY, edited
from two_nodes import asked, missing, two_nodes, wait_until

from dtcbench.records.lookup import run_named

pytestmark = [
    pytest.mark.timeout(900),  # Slurm looks at limits every 30 s, and starts a job that is queued again later still
    pytest.mark.slurm,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=f"no {', '.join(missing())} here: apt-get install slurm-wlm munge"),
]
SOON_S = 150.0
"""For whatever must happen on a busy machine: Slurm itself looks at limits every 30 s."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with two_nodes(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def submit(slurm, tmp_path, monkeypatch, dtcbench):
    """`submit("tiny", "--nodes", "2")`: the job's id. `patient` waits in the test's folder, where both suites are."""
    monkeypatch.chdir(tmp_path)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm[name])
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "mishaps.py").write_text(MISHAPS.source)
    mishap = f"{{name: mishap, what: wait, folder: '{tmp_path}'}}"
    text = edited(TINY, ("name: tiny", "name: patient"), ("[dtc, magnitude]", f"[{mishap}, random]"))
    (tmp_path / "patient.yaml").write_text(edited(text, ("    solvers: [lars]\n", "")))

    def call(name, *options):
        line = ("slurm", f"{name}.yaml", "--cpus-per-node", 1, "--time", 10, *options, "--submit")
        ended = dtcbench(*line)
        assert ended.code == 0, ended.err
        return re.search(r"Submitted batch job (\d+)", ended.out)[1]

    return call


@pytest.fixture
def job(slurm):
    """`job(id)`: what Slurm knows of a job, by name."""
    return lambda id: dict(re.findall(r"(\w+)=(\S*)", asked(["scontrol", "show", "job", id], slurm)))


@pytest.fixture
def reach(job):
    """`reach(id, "COMPLETED")`: return once the job is in that state; fails with what it printed if it never is."""

    def wait(id, state):
        try:
            wait_until(lambda: job(id)["JobState"] == state, SOON_S, state)
        except AssertionError:
            log = Path(f"slurm-{id}.out")
            printed = log.read_text() if log.exists() else "nothing"
            pytest.fail(f"job {id} is not {state} after {SOON_S} s but {job(id)}; it printed:\n{printed}")

    return wait


def attempts(folder):
    """The statuses of each cell's attempts, the first one first."""
    found = run_named(str(folder)).read().attempts.values()
    return sorted([record.status.value for record in of_cell] for of_cell in found)


def ray_folders():
    return set(Path("/tmp").glob("dtc-??????"))  # noqa: S108 - none is made here


@pytest.fixture
def patient(tmp_path, submit):
    """A job whose second of three cells waits for the test, and its folder."""

    for pipe in ("begun", "go"):
        os.mkfifo(tmp_path / pipe)
    return submit("patient", "--plugin", "mishaps.py")


def test_jobs_share_nodes_and_one_outlives_a_drained_node_and_the_other_its_limit(
    slurm, submit, patient, job, reach, tmp_path
):
    before = ray_folders()
    tiny = submit("tiny", "--nodes", "2")
    pid_of(tmp_path)
    reach(tiny, "RUNNING")
    assert (job(patient)["JobState"], job(patient)["NodeList"]) == ("RUNNING", "n1")
    asked(["scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test"], slurm)
    asked(["scontrol", "update", f"JobId={patient}", "TimeLimit=1"], slurm)
    log = tmp_path / f"slurm-{patient}.out"
    wait_until(lambda: "stopping" in log.read_text(), SOON_S, "the driver gets no notice")
    release(tmp_path)  # what runs is finished
    reach(patient, "PENDING")
    assert attempts(tmp_path / "runs/patient") == [["ok"], ["ok"]]
    reach(tiny, "COMPLETED")  # on the drained node, too
    assert attempts(tmp_path / "runs/tiny") == [["ok"], ["ok"], ["ok"]]
    asked(["scontrol", "update", f"JobId={patient}", "StartTime=now", "TimeLimit=10"], slurm)
    asked(["scontrol", "update", "NodeName=n2", "State=RESUME"], slurm)
    reach(patient, "COMPLETED")
    assert job(patient)["Restarts"] == "1"
    assert attempts(tmp_path / "runs/patient") == [["ok"], ["ok"], ["ok"]]
    assert ray_folders() <= before


def test_a_cancelled_job_ends_in_order_and_the_run_resumes(slurm, patient, reach, tmp_path, dtcbench):
    before = ray_folders()
    pid_of(tmp_path)
    asked(["scancel", patient], slurm)
    reach(patient, "CANCELLED")
    wait_until(lambda: not asked(["squeue", "--noheader"], slurm), SOON_S, "the job does not end")
    assert attempts(tmp_path / "runs/patient") == [["cancelled"], ["ok"]]
    assert dtcbench("run", "patient.yaml", "--plugin", "mishaps.py", "--inline").code == 0
    assert attempts(tmp_path / "runs/patient") == [["cancelled", "ok"], ["ok"], ["ok"]]
    assert ray_folders() <= before
