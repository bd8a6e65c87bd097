"""An installed release is known by the digest of its files, if they are the ones that were installed."""

import base64
import hashlib
import subprocess

import pytest

from dtcbench.execution.provenance import NOT_INSTALLED, source_sha256
from dtcbench.unavailable import Unavailable

FILES = {"__init__.py": "x = 1\n", "solvers/lars.py": "y = 2\n", "suites/quick.yaml": "name: quick\n"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a small package that an installer has put into site-packages."""
    site = tmp_path / "my site-packages"
    for name, text in FILES.items():
        (site / "little" / name).parent.mkdir(parents=True, exist_ok=True)
        (site / "little" / name).write_text(text)
    (site / "little" / "__pycache__").mkdir()
    (site / "little" / "__pycache__" / "lars.pyc").write_text("compiled")
    (site / "little-1.0.dist-info").mkdir()
    (site / "little-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: little\nVersion: 1.0\n")
    rows = [f"little/{name},{recorded(text)},{len(text)}\n" for name, text in FILES.items()]
    rows += ["little/__pycache__/lars.pyc,,\n", "little-1.0.dist-info/METADATA,,\n", "../bin/little,,\n"]
    (site / "little-1.0.dist-info" / "RECORD").write_text("".join(rows))
    monkeypatch.syspath_prepend(str(site))
    return site.resolve() / "little"


def recorded(text):
    """A digest as a RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_the_digest_is_what_the_documented_command_prints(package):
    command = "find little -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=package.parent, capture_output=True, text=True, check=True)  # noqa: S602
    assert source_sha256(package) == printed.stdout.split()[0]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda package: (package / "solvers" / "lars.py").write_text("y = 3\n"), "little/solvers/lars.py"),
        (lambda package: (package / "solvers" / "mine.py").write_text(""), "little/solvers/mine.py"),
        (lambda package: (package / "suites" / "quick.yaml").unlink(), "little/suites/quick.yaml"),
    ],
    ids=["changed", "added", "removed"],
)
def test_files_that_were_changed_after_the_installation_have_no_digest(package, change, name):
    change(package)
    reason = f"the installed files are not those of a release: {name} was changed, added or removed"
    assert source_sha256(package) == Unavailable(reason)


def test_a_checkout_beside_an_installed_release_is_not_the_release(package, tmp_path):
    checkout = tmp_path / "checkout" / "little"
    checkout.mkdir(parents=True)
    assert source_sha256(checkout.resolve()) == NOT_INSTALLED


def test_a_package_without_a_record_of_its_files_is_no_release(package):
    (package.parent / "little-1.0.dist-info" / "RECORD").unlink()
    assert source_sha256(package) == NOT_INSTALLED


def test_a_package_that_nobody_installed_is_no_release(tmp_path):
    assert source_sha256(tmp_path / "nobody-installed-this") == NOT_INSTALLED
