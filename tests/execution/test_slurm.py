"""The batch script of a run: what it asks Slurm for, what it runs, and what it refuses."""

import re
import shutil
import subprocess

import pytest
from test_cluster_yaml import NODE_LOST_SOON

from dtcbench.errors import UserError
from dtcbench.execution import cluster
from dtcbench.execution.slurm import Allocation, parsed, script, seconds
from dtcbench.plan.request import Request

ON_GPUS, ON_CORES = Request(cpus=8, gpus=1, accelerator="H100"), Request(cpus=2)


def written(request=ON_GPUS, out="runs/night", **more):
    asked = {"nodes": 4, "gpus": 8, "time": "12:00:00"} | more
    one = Allocation.of(request, **asked)
    run = ["my suite.yaml", "--retry-failed"]
    return script("night", one, one.cells_at_once(request), "/opt/a b/bin/python", run, out, "dtcbench slurm")


def asked_of_slurm(text):
    """The options of its #SBATCH lines, which Slurm reads down to the first command."""
    head = re.split(r"^[^#\n]", text, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", head, re.MULTILINE))


def test_it_asks_for_the_nodes_for_a_notice_and_to_be_queued_again():
    asked = asked_of_slurm(written(options=["partition=gpu", "exclusive"]))
    assert asked == {
        "job-name": "dtcbench-night",
        "nodes": "4",
        "ntasks-per-node": "1",
        "cpus-per-task": "64",
        "gpus-per-node": "8",
        "time": "12:00:00",
        "partition": "gpu",
        "exclusive": "",
        "signal": "B:USR1@600",
        "requeue": "",
        "no-kill": "",
        "open-mode": "append",
    }
    assert "gpus-per-node" not in asked_of_slurm(written(ON_CORES, gpus=0, cpus=4))


def test_it_runs_the_suite_on_all_nodes_with_every_word_as_given():
    text = written()
    shell = f"{text.partition('cpus=')[0]}\nprintf '%s\\n' \"${{run[@]}}\""
    words = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words == [
        *("/opt/a b/bin/python", "-m", "dtcbench", "run", "my suite.yaml", "--workers", "32", "--retry-failed"),
        *("--out", "runs/night"),
    ]


def test_a_job_array_gives_each_job_its_share_and_its_folder():
    text = written(shards=3)
    assert asked_of_slurm(text)["array"] == "1-3"
    shell = f"SLURM_ARRAY_TASK_ID=2\n{text.partition('cpus=')[0]}\nprintf '%s\\n' \"${{run[@]}}\""
    words = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[-4:] == ["--out", "runs/night-2-of-3", "--shard", "2/3"]


def test_bash_and_if_it_is_here_shellcheck_find_nothing_wrong_with_it(tmp_path):
    file = tmp_path / "night.sbatch"
    file.write_text(written())
    assert subprocess.run(["bash", "-n", file], capture_output=True, text=True).stderr == ""
    if shutil.which("shellcheck"):
        found = subprocess.run(["shellcheck", file], capture_output=True, text=True)
        assert found.stdout == ""


def test_every_node_has_the_variables_that_a_run_needs():
    exported = dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^export (.*)$", written(), re.MULTILINE))))
    needed = cluster._EVERYWHERE | NODE_LOST_SOON | {"RAY_AUTH_MODE": "token"}
    assert {name: exported.get(name) for name in needed} == needed


def test_it_ends_no_ray_but_its_own_and_no_command_line_holds_the_token():
    commands = re.sub(r"#.*", "", written())
    assert "ray stop" not in commands and "symmetric-run" not in commands
    assert [line for line in commands.splitlines() if "TOKEN" in line] == [
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN  ",
        "RAY_AUTH_TOKEN=$(\"$python\" -c 'import secrets; print(secrets.token_hex(32))')",
    ]


@pytest.mark.parametrize(
    ("time", "expected"),
    [("90", 5400), ("90:30", 5430), ("12:00:00", 43200), ("2-12", 216000), ("1-0:30", 88200), ("1-0:0:5", 86405)],
)
def test_a_limit_is_read_as_slurm_reads_it(time, expected):
    assert seconds(time) == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"time": "a day"}, "--time a day: give it as Slurm does"),
        ({"time": "1:2:3:4"}, "--time 1:2:3:4: give it"),
        ({"time": "1::2"}, "--time 1::2: give it"),
        ({"time": "10", "notice_s": 600}, "--notice 600: give seconds, at least 60 and fewer than --time 10 (600 s)"),
        ({"notice_s": 59}, "--notice 59"),
        ({"time": "1"}, "--notice 30"),
        ({"gpus": 0, "cpus": 64}, "a cell asks for 8 CPUs and 1 GPUs of kind H100, and a node of the job has 64 CPUs"),
        ({"cpus": 7}, "raise --cpus-per-node"),
        ({"request": ON_CORES, "gpus": 0}, "--cpus-per-node: say how many cores"),
    ],
)
def test_what_cannot_run_a_cell_is_refused(more, message):
    with pytest.raises(UserError, match=re.escape(message)):
        written(**more)


def test_a_part_of_a_gpu_is_a_cell_s():
    assert Allocation.of(Request(2, 0.25), nodes=3, gpus=2, time="60").cells_at_once(Request(2, 0.25)) == 24


def test_what_sinfo_says_is_read_line_by_line():
    rows = parsed("gpu*|4|idle|64|512000|gpu:h100:8(S:0-1),shard:16|2-00:00:00\ncpu|9|mix|32|128000|(null)|infinite\n")
    assert [(row.name, row.nodes, row.gpus, row.limit) for row in rows] == [
        ("gpu*", "4", "h100:8", "2-00:00:00"),
        ("cpu", "9", "", "infinite"),
    ]


def test_the_command_writes_the_script_and_overwrites_no_other(tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    line = ("slurm", "quick", "--nodes", "2", "--cpus-per-node", "3", "--time", "30", "--", "--retry-failed")
    assert "6 at once on 2 nodes" in dtcbench(*line).out
    text = (tmp_path / "quick.sbatch").read_text()
    assert "# Made by `dtcbench slurm quick --nodes 2 " in text
    assert "dtcbench run quick --workers 6 --retry-failed --out runs/quick)" in text
    assert dtcbench(*line).code == 0
    assert "take at most 3 shards" in dtcbench(*line[:-2], "--shards", "4").err
    (tmp_path / "quick.sbatch").write_text(text.replace("lives=20", "lives=2"))
    refused = dtcbench(*line)
    assert refused.code == 2 and "quick.sbatch is another script, or was edited" in refused.err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sbatch is not on this machine" in dtcbench(*line[:-2], "--script", "b", "--submit").err
