"""Every network trains, and to the same bits each time."""

import pytest
import torch
from torch.nn import functional

SMALL = {"width": 8, "depth": 2, "heads": 2}


@pytest.fixture(autouse=True)
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def losses(model, x, y, steps=12):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x).flatten(0, -2), y)
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("lenet-300-100", (1, 8, 8), {}),
        ("lenet-5", (1, 12, 12), {}),
        ("resnet-20", (1, 8, 8), {"width": 4}),
        ("vgg-16", (1, 16, 16), {"width": 4}),
        ("vit-tiny", (1, 8, 8), SMALL),
        ("gpt-nano", (8,), SMALL),
    ],
)
def test_training_lowers_the_loss_to_the_same_bits_each_time(build, name, shape, options):
    generator = torch.Generator().manual_seed(0)
    if len(shape) == 1:
        x = torch.randint(10, (8, *shape), generator=generator)
        y = x.flatten()
    else:
        x, y = torch.randn(8, *shape, generator=generator), torch.arange(8)
    first, again = (losses(build(name, shape, **options), x, y) for _ in range(2))
    assert first == again
    assert first[-1] < 0.9 * first[0]
