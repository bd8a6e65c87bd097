import torch

from dtcbench.training.randomness import generator, torch_generator


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
