import pytest
import torch

from dtcbench.registry import models


@pytest.fixture
def build():
    """Builds a model by its name, from a generator of the seed."""

    def built(name, shape, classes=10, seed=1, **options):
        return models.get(name)(shape, classes, generator=torch.Generator().manual_seed(seed), **options)

    return built
