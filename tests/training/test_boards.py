"""Several boards, here copies on the CPU, train a network to the bits of one."""

from dataclasses import replace

import pytest
import torch
from cells import cell, choice, context, timeless
from torch import nn

from dtcbench import registry
from dtcbench.errors import CompressionError
from dtcbench.training import boards, protocols
from dtcbench.training.loop import Samples, gradient_step
from dtcbench.training.protocols import run

CPU = torch.device("cpu")
SETTINGS = {
    "dtc": cell("dtc", accumulate=4),
    "gradients of a method": cell("taylor", accumulate=4, clip=0.5, schedule="cosine"),
    "new weights": cell("scratch", accumulate=4),
    "two turns, bf16": cell("magnitude", accumulate=8, precision="bf16"),
    "a smaller last batch": cell("dense", 0.0, accumulate=2),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("count", [2, 4])
def test_a_cell_on_several_boards_has_the_result_of_one_to_the_last_bit(setting, count):
    alone = context(SETTINGS[setting])
    together = replace(alone, others=(CPU,) * (count - 1), evaluated=[])
    assert timeless(run(together)) == timeless(run(alone))


def test_every_board_takes_its_part_and_follows_the_network_through_a_compression(monkeypatch):
    seen = []
    follow = boards.Boards.follow

    def watched(self):
        networks = follow(self)
        seen.append([next(network.parameters()).shape for network in networks])
        weights = [torch.cat([p.detach().flatten() for p in network.parameters()]) for network in networks]
        assert all(torch.equal(weight, weights[0]) for weight in weights)
        assert len({id(network) for network in networks}) == len(networks)
        return networks

    monkeypatch.setattr(boards.Boards, "follow", watched)
    run(replace(context(cell("dtc", accumulate=2)), others=(CPU,)))
    assert len(seen) == 60 and all(one == other for one, other in seen)
    assert {shape[0] for shape, _ in seen} >= {32, 16}


def test_a_part_that_the_copies_alone_compute_reaches_the_network():
    model = nn.Linear(3, 2)
    step = gradient_step(model, torch.optim.SGD(model.parameters(), lr=1.0), at_once=1, others=(CPU, CPU))
    before = model.weight.detach().clone()
    step(Samples(torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]]), torch.tensor([0, 0, 1])))
    assert (model.weight != before).any(0).tolist() == [True, False, False]


def test_running_statistics_are_refused_by_name():
    planned = replace(cell("dense", 0.0, accumulate=2), model=choice(registry.models, "resnet-20"))
    with pytest.raises(CompressionError, match=r"is a batch norm, .*; set resources\.gpus: 1"):
        run(replace(context(planned), others=(CPU,)))


class DropPath(nn.Module):
    def __init__(self, drop_prob):
        super().__init__()
        self.drop_prob = drop_prob


@pytest.mark.parametrize(
    ("drops", "words"),
    [
        (nn.Dropout, r"p = 0\.2"),
        (nn.Dropout2d, r"p = 0\.2"),
        (DropPath, r"drop_prob = 0\.2"),
        (lambda rate: nn.MultiheadAttention(4, 2, dropout=rate), r"dropout = 0\.2"),
    ],
)
def test_dropout_is_refused_by_name_unless_it_is_0(drops, words):
    boards.require_no_dropout(nn.Sequential(nn.Linear(4, 4), drops(0.0)))
    with pytest.raises(CompressionError, match=rf"^1 drops out \({words}\).*; set dropout 0, or resources\.gpus: 1"):
        boards.require_no_dropout(nn.Sequential(nn.Linear(4, 4), drops(0.2)))


def test_a_cell_with_dropout_does_not_start_on_several_boards(monkeypatch):
    planned = cell("dense", 0.0, accumulate=2)
    plain = protocols.start

    def dropping(work):
        begun = plain(work)
        begun.model.add_module("drop", nn.Dropout(0.1))
        return begun

    monkeypatch.setattr(protocols, "start", dropping)
    run(context(planned))
    with pytest.raises(CompressionError, match="drop drops out"):
        run(replace(context(planned), others=(CPU,)))
