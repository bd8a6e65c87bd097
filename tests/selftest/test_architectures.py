"""Networks of a list are cut exactly, and a measurement that hangs or dies costs its own row alone."""

import os
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from dtcbench.cli import app
from dtcbench.errors import UserError
from dtcbench.models.from_torchvision import TORCHVISION
from dtcbench.plan.names import REGISTERED
from dtcbench.report.architectures import row, summary
from dtcbench.selftest import architectures
from dtcbench.selftest.architectures import LIST, Network, Trial, networks, trials
from dtcbench.selftest.cutting import EXACT, Ours, Theirs, our_cut, torch_pruning_cut
from dtcbench.training.groups import PrunableGroup

SMALL = {"width": 16, "depth": 2, "heads": 2}
OWN = {
    "lenet-5": ((1, 28, 28), {}),
    "resnet-20": ((3, 16, 16), {"width": 4}),
    "vgg-16": ((3, 16, 16), {"width": 4}),
    "vit-tiny": ((3, 8, 8), SMALL),
    "gpt-nano": ((8,), SMALL),
}


def choice(name):
    return REGISTERED.choice("model", name, OWN[name][1])


@pytest.mark.parametrize("name", OWN)
def test_a_cut_of_half_of_each_exact_group_is_the_network_with_the_halves_silenced(name):
    ours = our_cut(choice(name), OWN[name][0])
    assert ours.exact > 0
    assert ours.difference <= EXACT
    assert ours.left < 0.9


def test_a_network_keeps_what_torch_pruning_leaves_of_it():
    ours, theirs = (cut(choice("vgg-16"), OWN["vgg-16"][0]) for cut in (our_cut, torch_pruning_cut))
    assert theirs.difference <= EXACT
    assert ours.left == pytest.approx(theirs.left, abs=0.03)


def test_a_wrong_cut_is_seen(monkeypatch):
    silence = PrunableGroup.silence
    monkeypatch.setattr(PrunableGroup, "silence", lambda group, removed: silence(group, np.asarray(removed) + 1))
    assert our_cut(choice("vit-tiny"), OWN["vit-tiny"][0]).difference > 1e-3


def test_the_list_has_eighty_different_networks_and_needs_no_library_to_be_read():
    listed = networks(LIST, [])
    assert len({(one.model.canonical_json, one.shape) for one in listed}) == 80
    assert {one.model.name for one in listed} == {"torchvision", "timm", "transformers"}
    assert [one.name for one in networks(LIST, ["llama", "resnet18"])] == ["torchvision/resnet18", "transformers/llama"]
    with pytest.raises(UserError, match=r"architectures.yaml: has no network 'resnet81'"):
        networks(LIST, ["resnet81"])


def hang(model, shape):
    while True:
        pass


def die(model, shape):
    os._exit(3)


def fail(model, shape):
    raise KeyError(model.name)


def test_a_measurement_that_hangs_dies_or_fails_is_told_and_the_next_one_is_made(monkeypatch):
    child, network = architectures._Child(()), Network(choice("lenet-5"), (1, 28, 28))
    try:
        assert child.answer(hang, network, 1) == "no answer in 1 s"
        assert child.answer(die, network, 60) == "the process was lost (exit code 3)"
        assert child.answer(fail, network, 60) == "KeyError: 'lenet-5'"
        assert isinstance(child.answer(our_cut, network, 60), Ours)
    finally:
        child.end()


def test_the_command_prints_a_row_for_each_network_and_what_they_come_to(tmp_path):
    file = tmp_path / "mine.yaml"
    grid = "grid:\n  - {input: [1, 28, 28], models: [lenet-5]}\n"
    file.write_text(f"name: mine\nquestion: How far?\ncost: seconds\n{grid}")
    found = CliRunner().invoke(app, ["selftest", "--architectures", str(file)])
    assert re.search(r"^\| lenet-5 \| 4 \| 0 \| 0 \| \de[-+]\d\d \| \d\d\.\d % \|", found.output, re.MULTILINE)
    assert "1 of 1 networks have a group; 1 cuts of all exact groups are exact" in found.output
    assert found.exit_code == 0


@pytest.mark.skipif(not TORCHVISION.missing, reason="torchvision is installed")
def test_a_network_whose_library_is_not_installed_is_skipped_with_the_reason():
    (trial,) = trials(networks(LIST, ["resnet18"]), ())
    assert trial.is_skipped
    assert TORCHVISION.missing in row(trial)
    assert "1 were not tried" in summary([trial])


def test_only_exact_cuts_of_torch_pruning_are_compared():
    network = Network(choice("lenet-5"), (1, 28, 28))

    def trial(left, theirs):
        return Trial(network, Ours(1, 0, 0, 1e-16, left, 1.0), theirs)

    seen = [
        trial(0.25, Theirs(0.0, 0.25)),
        trial(0.5, Theirs(1e-16, 0.25)),
        trial(0.9, Theirs(1e-2, 0.25)),
        trial(0.9, "no answer in 10 s"),
    ]
    assert "Torch-Pruning's cut is exact for 2; in 1 we leave at most 3 points more parameters" in summary(seen)
    assert "not exact (1e-02)" in row(seen[2])
    assert "no answer in 10 s" in row(seen[3])
