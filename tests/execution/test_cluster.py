"""Ray's own folder, and what the nodes of a cluster have."""

import os
import platform
import shutil
import stat
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dtcbench.energy.nvml import Gpu
from dtcbench.errors import UserError
from dtcbench.execution.cluster import _MAX_FOLDER, folder_candidates, short_folder
from dtcbench.execution.nodes import MUST_AGREE, Node, describe_node, disagreements, without_joules
from dtcbench.plan.request import Request
from dtcbench.unavailable import Unavailable

Usage = namedtuple("Usage", "total used free")


def longest_in(parent: Path) -> int:
    """Bytes that a new folder there needs and no more."""
    return len(str(parent)) + len("/dtc-12345678")


def test_the_folder_is_this_user_s_alone_and_gone_afterwards(tmp_path):
    with short_folder(longest_in(tmp_path), [str(tmp_path)]) as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "session").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_places_that_will_not_do_are_passed_over(tmp_path, monkeypatch):
    deep, full, good = tmp_path / "a-long-name", tmp_path / "full", tmp_path / "good"
    for parent in (deep, full, good):
        parent.mkdir()
    (tmp_path / "file").touch()
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 0) if path == str(full) else real(path))
    among = [str(parent) for parent in (tmp_path / "missing", tmp_path / "file", deep, full, good)]
    with short_folder(longest_in(good), among) as folder:
        assert folder.parent == good
    assert list(deep.iterdir()) == []


def test_where_none_will_do_one_line_says_why_and_what_to_set(tmp_path):
    among = [str(tmp_path), str(tmp_path / "missing")]
    told = rf"tried {tmp_path} \(a path too long for sockets\), {tmp_path}/missing \(No such .*set RAY_TMPDIR.*--inline"
    with pytest.raises(UserError, match=told), short_folder(len(str(tmp_path)), among):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_without_permission_is_passed_over(tmp_path):
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o500)
    with short_folder(longest_in(tmp_path), [str(shut), str(tmp_path)]) as folder:
        assert folder.parent == tmp_path


def test_what_the_environment_names_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    monkeypatch.setenv("TMPDIR", "mine")
    assert folder_candidates()[:3] == ["/scratch", str(tmp_path / "mine"), "/tmp"]  # noqa: S108


def test_a_socket_of_ray_s_fits_into_a_folder_under_tmp():
    assert len("/tmp/dtc-12345678") <= _MAX_FOLDER  # noqa: S108


# nodes


def node(name, **versions):
    return Node(name, "CPU", (), {}, versions)


def test_a_node_tells_what_it_has():
    here = describe_node()
    assert here.name == platform.node()
    assert here.versions["torch"] == torch.__version__
    assert here.data["digits"] == "inside scikit-learn"
    assert here.gpus


def test_versions_that_differ_are_told_with_who_has_which():
    nodes = [node("a", torch="2.13"), node("b", torch="2.12"), node("c", torch="2.13"), node("d")]
    assert disagreements(nodes, ["torch"]) == ["torch: 2.12 on b, 2.13 on a, c, not installed on d"]
    assert disagreements(nodes[::2], MUST_AGREE) == []


GPU = Gpu(0, "NVIDIA H200", "GPU-aaaa", 140.0, 700.0, "570.1", False, 5e6, 300.0)
MUTE = replace(GPU, counter_mj=Unavailable("No permission"), power_w=Unavailable("Not Supported"))


@pytest.mark.parametrize(
    ("gpus", "is_whole", "told"),
    [
        ([GPU], True, []),
        ([MUTE, GPU], True, []),
        ([MUTE, MUTE], True, ["n: no energy counter (No permission), no power (Not Supported)"]),
        ([Unavailable("NVML does not start: Driver Not Loaded")], True, ["n: NVML does not start: Driver Not Loaded"]),
        ([replace(GPU, counter_mj=Unavailable("x"))], True, []),
        ([replace(GPU, mig=True)], False, []),
        ([replace(GPU, mig=True)], True, ["n: MIG divides it, and its readings cover the whole board"]),
    ],
)
def test_a_node_none_of_whose_gpus_gives_joules_is_named_with_the_cause(gpus, is_whole, told):
    able = replace(node("n"), gpus=tuple(gpus), resources={"CPU": 8, "GPU": 2})
    head = replace(node("head"), gpus=(Unavailable("no driver"),), resources={"CPU": 8})  # runs no such cell
    found = without_joules([head, able], Request(1, 1), is_whole=is_whole)
    assert len(found) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(found, told, strict=True))


def test_many_nodes_are_not_all_named():
    nodes = [node("x", torch="1"), *(node(f"n{i}", torch="2") for i in range(9))]
    assert disagreements(nodes, ["torch"]) == ["torch: 1 on x, 2 on n0, n1, n2 and 6 more"]
