"""The cluster launcher's file: what Ray makes of it, offline, and what it must say."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from dtcbench.execution import cluster

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text()
NODE_LOST_SOON = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "3000",
    "RAY_grpc_client_keepalive_timeout_ms": "3000",
}
"""With these a node that is off is noticed within 3 s, and a frozen node's task fails at all."""


def between(begin, end):
    """The lines from a mark to another, the marks included."""
    return re.compile(rf"^# --- {begin}\n(.*?)^# --- {end}\n", re.MULTILINE | re.DOTALL)


def rack():
    """The file for machines of one's own, made from the one for AWS as its first lines say."""
    without, cuts = between("aws: begin", "aws: end").subn("", TEXT)
    assert cuts == 1
    opened, cuts = between("rack: begin", "rack: end").subn(
        lambda found: re.sub("^#", "", found[1], flags=re.MULTILINE), without
    )
    assert cuts == 1
    return opened


@pytest.fixture(params=["aws", "local"])
def config(request):
    """The launcher's configuration, completed by Ray, for each of the two providers."""
    config = yaml.safe_load({"aws": TEXT, "local": rack()}[request.param])
    assert config["provider"]["type"] == request.param
    return prepare_config(config)


@pytest.fixture
def aws():
    return prepare_config(yaml.safe_load(TEXT))


def start_line(config, kind):
    """The words of the one command that starts Ray."""
    [line] = [line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
    return shlex.split(line.replace(";", " ; "))


def variables(words):
    return dict(word.split("=", 1) for word in words[: words.index(";")] if "=" in word)


def test_ray_finds_nothing_wrong_with_it(config):
    validate_config(config)


def test_ray_would_find_something_wrong(config):
    config["rsync_exlude"] = []
    with pytest.raises(Exception, match="rsync_exlude"):
        validate_config(config)


def test_both_start_lines_set_what_a_run_needs_and_the_same(config):
    head, worker = (variables(start_line(config, kind)) for kind in ("head", "worker"))
    assert head == worker
    needed = cluster._EVERYWHERE | NODE_LOST_SOON | {"RAY_AUTH_MODE": "token"}
    assert {name: head.get(name) for name in needed} == needed


def test_every_node_finds_the_data_where_they_are_copied_to(config):
    data = variables(start_line(config, "worker"))["DTCBENCH_DATA_DIR"]
    assert data.replace("$HOME", "~") in config["file_mounts"]


def test_every_node_gets_the_token_and_no_line_tells_it(config):
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert "RAY_AUTH_TOKEN" not in yaml.safe_dump(config)


def test_a_worker_that_ended_itself_starts_again_until_it_is_stopped_in_order(config, tmp_path):
    """By a `ray` that fails twice, then ends as `ray stop` has it end."""
    starts, ray = tmp_path / "starts", tmp_path / "venv/bin/ray"
    os.mkfifo(tmp_path / "ended")
    ray.parent.mkdir(parents=True)
    lines = ["#!/bin/bash", f'echo "$@" >> {starts}', f"[ $(wc -l < {starts}) = 3 ] && echo end > {tmp_path}/ended"]
    ray.write_text("\n".join(lines))
    ray.chmod(0o700)
    [line] = [line for line in config["worker_start_ray_commands"] if "ray start" in line]
    environment = os.environ | {"HOME": str(tmp_path), "RAY_HEAD_IP": "192.0.2.10"}
    subprocess.run(["bash", "-c", line.replace("sleep 5", ":")], env=environment, timeout=20, check=True)
    assert subprocess.check_output(["cat", tmp_path / "ended"], timeout=20) == b"end\n"
    assert starts.read_text().splitlines() == ["start --address=192.0.2.10:6379 --block"] * 3


def test_the_head_has_no_cores_and_its_dashboard_no_visitors(config):
    words = start_line(config, "head")
    assert {"--num-cpus=0", "--num-gpus=0", "--dashboard-host=127.0.0.1"} <= set(words)


def test_every_node_gets_the_python_and_the_packages_that_are_pinned(config):
    lines = {line for kind in ("head", "worker") for line in config[f"{kind}_setup_commands"]}
    pinned = re.search(r"^ray==(.*)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]
    assert {version for line in lines for version in re.findall(r"\bray\S*==([\d.]+)", line)} == {pinned}
    for kind in ("head", "worker"):
        setup = " ".join(config[f"{kind}_setup_commands"])
        assert re.search(r"uv venv --python 3\.\d+\.\d+ ", setup)
        assert "--requirements ~/dtcbench/requirements.lock" in setup


def test_no_node_but_the_head_is_paid_for_before_cells_wait(aws):
    types = aws["available_node_types"]
    assert aws["head_node_type"] == "head"
    assert types["head"]["resources"] == {"CPU": 0}
    workers = [kind for name, kind in types.items() if name != "head"]
    assert [kind["min_workers"] for kind in workers] == [0] * len(workers)
    assert all(0 < kind["max_workers"] <= aws["max_workers"] for kind in workers)


def test_a_suite_can_ask_for_each_kind_of_gpu_before_its_first_node_is_up(aws):
    for kind in (kind for name, kind in aws["available_node_types"].items() if name != "head"):
        resources = kind["resources"]
        assert resources["CPU"] > 0 and resources["GPU"] == 1
        assert resources[f"accelerator_type:{kind['labels']['gpu']}"] == 1


def kubernetes():
    """The volume and the cluster of the manifest."""
    volume, ray_cluster = yaml.safe_load_all((ROOT / "kuberay.yaml").read_text())
    return volume, ray_cluster["spec"]


def test_the_pods_on_kubernetes_have_the_pinned_ray_and_the_variables_that_a_run_needs():
    _, spec = kubernetes()
    assert f"ray=={spec['rayVersion']}" in (ROOT / "requirements.lock").read_text().splitlines()
    assert spec["authOptions"] == {"mode": "token"}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        [container] = group["template"]["spec"]["containers"]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        needed = cluster._EVERYWHERE | NODE_LOST_SOON
        assert {name: variables.get(name) for name in needed} == needed
        assert any(variables["DTCBENCH_DATA_DIR"].startswith(at["mountPath"]) for at in container["volumeMounts"])


def test_the_head_on_kubernetes_runs_no_cell_and_a_pod_has_what_its_group_offers_before_it_is_up():
    volume, spec = kubernetes()
    head = spec["headGroupSpec"]
    assert head["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    for group in spec["workerGroupSpecs"]:
        pod, offered = group["template"]["spec"], group["resources"]
        has = pod["containers"][0]["resources"]["limits"]
        assert (offered["CPU"], offered["GPU"]) == (has["cpu"], has["nvidia.com/gpu"])
        assert offered[f"accelerator_type:{group['groupName'].upper()}"] == "1"
        assert group["minReplicas"] == 0 < group["maxReplicas"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
