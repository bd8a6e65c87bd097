"""The processor packages' counters under powercap."""

import os

import pytest

from dtcbench.energy.rapl import packages


def zone(powercap, folder, name, energy="123", reach="262143328850"):
    path = powercap / folder
    path.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", reach)):
        (path / file).write_text(f"{text}\n")
    return path


def test_packages_are_found_and_their_parts_and_other_domains_left_out(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:1", "package-1")
    zone(tmp_path, "intel-rapl:0:0", "core")
    zone(tmp_path, "intel-rapl:2", "psys")
    found = packages(tmp_path)
    assert [(z.name, z.counter.parent.name, z.range_uj) for z in found] == [
        ("package-0", "intel-rapl:0", 262143328850),
        ("package-1", "intel-rapl:1", 262143328850),
    ]


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_machine_without_the_counters_says_so(tmp_path, folder):
    found = packages(tmp_path / folder)
    assert "no RAPL counter" in found.reason


def test_one_package_that_cannot_be_read_leaves_the_others_unread_too(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:1", "package-1", energy="not a number")
    found = packages(tmp_path)
    assert "RAPL cannot be read" in found.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_only_root_may_read_says_so(tmp_path):
    (zone(tmp_path, "intel-rapl:0", "package-0") / "energy_uj").chmod(0)
    assert "Permission denied" in packages(tmp_path).reason
