"""What a wheel holds and says, and what an installed one knows of itself."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import dtcbench

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, in a folder whose name has a space."""
    source, out = tmp_path_factory.mktemp("my source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "dtcbench", source / "dtcbench", ignore=shutil.ignore_patterns("__pycache__"))
    build = [*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", out, source]
    subprocess.run(build, check=True, cwd=out)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--no-index", "--no-deps", "--target", folder, wheel], check=True)
    return folder


def installed(site, *arguments, cwd):
    """What Python prints where the installed package comes first."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_wheel_holds_every_file_of_the_package(wheel):
    package = ROOT / "dtcbench"
    sources = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.is_file()}
    sources = {name for name in sources if "__pycache__" not in name}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("dtcbench/")}
    assert packed == sources
    assert {"dtcbench/py.typed", "dtcbench/suites/quick.yaml", "dtcbench/report/templates/page.html"} <= packed


def test_a_wheel_says_its_licence_and_where_its_paper_is(wheel):
    with zipfile.ZipFile(wheel) as opened:
        folder = f"dtcbench-{dtcbench.__version__}.dist-info"
        metadata = opened.read(f"{folder}/METADATA").decode()
        assert opened.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    for line in (
        f"Version: {dtcbench.__version__}",
        "License-Expression: Apache-2.0",
        "Project-URL: Paper, https://arxiv.org/abs/2505.23869",
        "Classifier: Typing :: Typed",
    ):
        assert f"\n{line}\n" in metadata


def test_an_installed_wheel_lists_its_suites_and_plans_one_in_an_empty_folder(site, tmp_path):
    assert "\nquick " in installed(site, "-m", "dtcbench", "suites", cwd=tmp_path)
    assert "51 cells" in installed(site, "-m", "dtcbench", "plan", "quick", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_installed_wheel_knows_its_own_code_though_it_has_no_commit(site, wheel, tmp_path):
    program = "from dtcbench.execution.provenance import collect; print(collect('cpu', 1, {}).model_dump_json())"
    made = json.loads(installed(site, "-c", program, cwd=tmp_path))
    assert (made["commit"], made["lock_sha256"]) == (None, None)
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    command = "find dtcbench -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert command in (ROOT / "docs/publishing.md").read_text(encoding="utf-8")
    digest = subprocess.run(command, shell=True, cwd=unpacked, capture_output=True, text=True, check=True)  # noqa: S602
    assert made["source_sha256"] == digest.stdout.split()[0]


def test_every_package_that_is_imported_is_declared():
    declared = {re.split(r"[<>=]", requirement)[0] for requirement in PROJECT["dependencies"]}
    offered = {
        name.split("/")[0].removesuffix(".py")
        for package in declared
        for name in map(str, importlib.metadata.files(package) or ())
    }
    trackers = [name for extra in ("mlflow", "wandb") for name in PROJECT["optional-dependencies"][extra]]
    optional = {re.split(r"[<>=-]", requirement)[0] for requirement in trackers}
    imported = set()
    for path in (ROOT / "dtcbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    assert imported - offered - optional - sys.stdlib_module_names - {"dtcbench"} == set()


def test_the_citation_is_of_this_version_and_licence_and_names_paper_and_article():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (dtcbench.__version__, PROJECT["license"])
    assert [author["family-names"] for reference in citation["references"] for author in reference["authors"]] == [
        "Süzen",
        "Süzen",
    ]
    assert citation["references"][0]["url"] == PROJECT["urls"]["Paper"]
