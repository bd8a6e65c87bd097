"""Provenance: where a record was obtained, null with a reason where that is unknown."""

import getpass
import hashlib
import importlib.metadata
import os
import platform
import re
import socket
import subprocess
import types
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import torch

import dtcbench
from dtcbench.energy import nvml
from dtcbench.execution import provenance
from dtcbench.execution.provenance import NO_LOCK, checkout, collect, gpu_hardware, kernels, lock_sha256
from dtcbench.models.packages import building
from dtcbench.unavailable import Unavailable

H200 = ("NVIDIA H200", "GPU-aaaa", 139.7)


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Runs git in a folder that is no checkout yet, away from any repository and configuration outside."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def run(*arguments):
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
        command = ["git", *identity, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return run


@pytest.fixture
def commit(git, tmp_path):
    """A checkout with one commit, whose name this is."""
    git("init", "--quiet")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", "code.py")
    git("commit", "--quiet", "-m", "first")
    return git("rev-parse", "HEAD")


def test_a_cpu_cell():
    found = collect("cpu", 3, {"mine": "ab12"})
    assert re.fullmatch(r"CPU .+, \d+ cores, \d+ GiB", found.hardware_class)
    assert found.cpu in found.hardware_class
    assert (found.device, found.threads, found.plugins) == ("cpu", 3, {"mine": "ab12"})
    assert found.kernels["torch"] == torch.backends.cpu.get_cpu_capability()
    loaded = {pool.get("architecture") for pool in threadpoolctl.threadpool_info()}
    assert set(found.kernels["OpenBLAS"].split(", ")) <= loaded
    assert (found.gpu, found.driver) == (None, None)
    assert found.reasons["gpu"] == found.reasons["driver"] == "the cell ran on the CPU"
    assert found.memory_gib > 0


def test_versions_are_those_in_use():
    found = collect("cpu", 1, {})
    assert found.packages["numpy"] == np.__version__
    assert found.packages["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert set(found.packages) == {*provenance.PACKAGES, "zlib"}
    assert found.python == platform.python_version()
    assert found.dtcbench == dtcbench.__version__


def test_nothing_tells_the_host_the_user_or_a_path(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "secret-host")
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-host")
    monkeypatch.setattr(getpass, "getuser", lambda: "secret-user")
    text = collect("cpu", 1, {}).model_dump_json()
    assert "secret" not in text
    assert str(Path(dtcbench.__file__).parent.parent) not in text


def test_unlike_processors_of_one_name_are_told_apart(monkeypatch):
    names = []
    for family, model in ((25, 1), (26, 2)):
        block = f"processor\t: 0\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\n"
        monkeypatch.setattr(Path, "read_text", lambda *_, block=block, **__: f"{block}\n{block}")
        names.append(provenance.cpu_model.__wrapped__())
    assert names == ["AMD EPYC (family 25, model 1)", "AMD EPYC (family 26, model 2)"]


def test_processor_name_without_cpuinfo(monkeypatch):
    def unreadable(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert provenance.cpu_model.__wrapped__() == platform.machine()


def test_a_gpu_cell(monkeypatch):
    board = nvml.Gpu(0, "NVIDIA H200", "GPU-aaaa", 140.4, 700.0, "570.1", False, 5e6, 300.0)
    monkeypatch.setattr(nvml, "torch_gpu", lambda device: H200)
    monkeypatch.setattr(nvml, "gpu", {"GPU-aaaa": board}.__getitem__)
    found = collect("cuda", 1, {})
    assert found.hardware_class == "NVIDIA H200, 139 GiB, 700 W"
    assert (found.device, found.gpu, found.driver) == ("cuda", "NVIDIA H200", "570.1")
    assert not {"gpu", "driver"} & set(found.reasons)


def test_a_gpu_without_nvml_keeps_its_name(monkeypatch):
    monkeypatch.setattr(nvml, "torch_gpu", lambda device: H200)
    monkeypatch.setattr(nvml, "gpu", lambda uuid: Unavailable("NVML does not start"))
    hardware_class, gpu, driver = gpu_hardware("cuda")
    assert hardware_class == "NVIDIA H200, 139 GiB, power limit unknown"
    assert (gpu, driver) == ("NVIDIA H200", Unavailable("NVML does not start"))


def test_a_gpu_that_torch_lacks_is_unknown():
    found = collect("cuda:99", 1, {})
    assert found.hardware_class == "GPU unknown"
    assert "torch has no GPU cuda:99" in found.reasons["gpu"]


def test_a_clean_checkout(commit, tmp_path):
    assert checkout(tmp_path) == (commit, True)


@pytest.mark.parametrize("name", ["code.py", "new.py"], ids=["changed", "untracked"])
def test_a_checkout_with_an_uncommitted_change(commit, tmp_path, name):
    (tmp_path / name).write_text("x = 2\n")
    assert checkout(tmp_path) == (commit, False)


def test_a_hook_of_another_repository_does_not_mislead(commit, tmp_path, monkeypatch):
    other = tmp_path / "ignored" / ".git"
    other.mkdir(parents=True)
    monkeypatch.setenv("GIT_DIR", str(other))
    assert checkout(tmp_path)[0] == commit


def assert_unknown(state, words):
    commit, commit_clean = state
    assert isinstance(commit, Unavailable)
    assert words in commit.reason
    assert commit_clean == commit


def test_a_folder_inside_a_checkout_of_something_else(commit, tmp_path):
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert_unknown(checkout(inside), "not in a git checkout of its own")


def test_a_folder_without_git_around_it(git, tmp_path):
    assert_unknown(checkout(tmp_path), "not in a git checkout of its own")


def test_a_checkout_without_a_commit(git, tmp_path):
    git("init", "--quiet")
    assert_unknown(checkout(tmp_path), "no commit")


@pytest.mark.parametrize(
    "broken",
    [
        {"which": lambda name: None},
        {"which": lambda name: f"/nowhere/{name}"},
    ],
    ids=["missing", "not executable"],
)
def test_without_git(commit, tmp_path, monkeypatch, broken):
    monkeypatch.setattr(provenance, "shutil", types.SimpleNamespace(**broken))
    assert_unknown(checkout(tmp_path), "not in a git checkout")


def test_git_that_hangs(commit, tmp_path, monkeypatch):
    def hangs(command, *, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert_unknown(checkout(tmp_path), "not in a git checkout")


def test_a_state_that_git_does_not_tell_leaves_the_commit(commit, tmp_path):
    (tmp_path / ".git" / "index").write_bytes(b"damaged")
    assert checkout(tmp_path) == (commit, Unavailable("git cannot tell the state of the checkout"))


def test_the_lock_is_hashed(tmp_path):
    (tmp_path / "requirements.lock").write_bytes(b"numpy==2.4.0\n")
    assert lock_sha256(tmp_path) == hashlib.sha256(b"numpy==2.4.0\n").hexdigest()


def test_a_missing_lock_has_a_reason(tmp_path):
    assert lock_sha256(tmp_path) == NO_LOCK


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"commit": "c0ffee" + 34 * "0", "commit_clean": True}, " (c0ffee000000)"),
        ({"commit": "c0ffee" + 34 * "0", "commit_clean": False}, " (c0ffee000000 changed)"),
        ({"commit": None, "source_sha256": "ab" * 32}, " (installed abababababab)"),
        ({"commit": None, "source_sha256": None}, ""),
    ],
)
def test_the_code_is_named_by_its_commit_or_by_its_installed_release(source, code):
    assert collect("cpu", 1, {}).model_copy(update=source).code == dtcbench.__version__ + code


def test_a_library_that_a_package_brings_for_itself_alone_is_no_kernel_of_numpy(monkeypatch):
    libraries = [
        {"internal_api": "openblas", "filepath": "/x/site-packages/numpy.libs/libopenblas.so", "architecture": "Zen"},
        {
            "internal_api": "openblas",
            "filepath": "/x/site-packages/scs.libs/libopenblas.so",
            "architecture": "Prescott",
        },
        {"internal_api": "openmp", "filepath": "/x/site-packages/torch/lib/libgomp.so"},
    ]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: libraries)
    assert kernels()["OpenBLAS"] == "Zen"
    libraries[0]["filepath"] = "/usr/lib/x86_64-linux-gnu/libopenblas.so.0"
    assert kernels()["OpenBLAS"] == "Zen"


def test_versions_of_a_package_of_networks_are_in_the_records_of_cells_that_use_it_alone(monkeypatch):
    versions = {name: f"1.{place}" for place, name in enumerate((*provenance.PACKAGES, "timm"))}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    provenance.package_versions.cache_clear()
    try:
        own, theirs = (collect("cpu", 1, {}, 1, building(model)).packages for model in ("mlp", "timm"))
    finally:
        provenance.package_versions.cache_clear()
    assert theirs == own | {"timm": versions["timm"]}
    assert building("a-model-that-nobody-has") == ()
