"""A process set up by `make_deterministic` computes the same bits whatever it was like before."""

import random

import numpy as np
import pytest
import torch

from dtcbench.training import determinism
from dtcbench.training.determinism import (
    deterministic,
    generator,
    make_deterministic,
    seeded_globals,
    torch_generator,
)


def test_settings_left_behind_by_another_cell_are_undone():
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(1)
    make_deterministic(2)
    assert torch.get_default_dtype() is torch.float32
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 2


def test_every_vector_function_is_first_called_on_one_element_which_one_thread_computes(monkeypatch):
    assert torch.sqrt in determinism._VECTOR_MATH  # Adam's
    sizes = []
    monkeypatch.setattr(determinism, "_VECTOR_MATH", [lambda tensor: sizes.append(tensor.numel())] * 2)
    make_deterministic(2)
    assert sizes == [1, 1]


def test_a_setting_that_torch_refuses_to_read_is_no_obstacle():
    cudnn = torch.backends.cudnn
    cudnn.allow_tf32 = True
    cudnn.conv.fp32_precision = "ieee"
    with pytest.raises(RuntimeError, match="mix of the legacy and new"):
        _ = cudnn.allow_tf32
    with deterministic(1):
        assert not cudnn.allow_tf32
    assert cudnn.conv.fp32_precision == "ieee"
    assert cudnn.rnn.fp32_precision == "tf32"
    cudnn.allow_tf32 = True
    assert cudnn.conv.fp32_precision == "tf32"


def draw(*label):
    return generator(*label).random()


def test_a_generator_depends_on_seed_purpose_and_indices_and_on_nothing_else():
    labels = [(0, "init"), (1, "init"), (0, "order"), (0, "order", 1), (0, "order", 2), (0, "order", 1, 2)]
    assert len({draw(*label) for label in labels}) == len(labels)
    assert [draw(*label) for label in labels] == [draw(*label) for label in reversed(labels)][::-1]


def test_torch_generators_repeat_too_and_leave_the_global_one_alone():
    before = torch.get_rng_state()
    first, second, other = (torch.rand(3, generator=torch_generator(seed, "order")) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_global_generator_is_seeded_and_afterwards_as_it_was():
    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002, S311

    def states():
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002

    before = states()
    seen = []
    for seed in (3, 3, 4):
        with seeded_globals(seed):
            seen.append(drawn())
    assert states() == before
    assert seen[0] == seen[1]
    assert not set(seen[0]) & set(seen[2])
