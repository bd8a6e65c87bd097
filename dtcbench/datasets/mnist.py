"""MNIST, from its four gzipped IDX files."""

from __future__ import annotations

from dtcbench.datasets import idx, source
from dtcbench.datasets.description import described_without_loading
from dtcbench.datasets.splits import Pixels, Splits
from dtcbench.registry import register_dataset

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SOURCES = idx.sources(
    "mnist",
    MIRRORS,
    {
        "train_x": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "train_y": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "test_x": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "test_y": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
)


def sample() -> tuple[tuple[int, ...], int]:
    """The shape of a sample of `mnist()`, and the number of classes."""
    return (1, 28, 28), 10


def origin() -> str:
    """Where the files of `mnist()` would come from, without reading them."""
    return source.origin(SOURCES.values())


@register_dataset("mnist")
@described_without_loading(sample=sample, origin=origin)
def mnist() -> Splits:
    """Handwritten digits, 28 × 28: 60,000 train, 10,000 test (LeCun, Cortes, Burges).

    Each file is searched in the folder `$DTCBENCH_DATA_DIR/mnist/`, in the cache, and on the
    mirrors, in this order. Mean and standard deviation are those of the published code.

    Raises
    ------
    DatasetError : a file in the folder is not MNIST's, or no copy can be reached
    """
    return idx.splits(SOURCES, Pixels(scale=255.0, mean=0.1307, std=0.3081))
