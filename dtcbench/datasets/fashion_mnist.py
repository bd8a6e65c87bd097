"""Fashion-MNIST, from its four gzipped IDX files."""

from __future__ import annotations

from dtcbench.datasets import idx, source
from dtcbench.datasets.description import described_without_loading
from dtcbench.datasets.splits import Pixels, Splits
from dtcbench.registry import register_dataset

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
)
# Digests of the published files, equal in TensorFlow Datasets (url_checksums/fashion_mnist.txt) and
# torchvision (prototype/datasets/_builtin/mnist.py).
SOURCES = idx.sources(
    "fashion-mnist",
    MIRRORS,
    "file",
    {
        "train_x": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train_y": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "test_x": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "test_y": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)


def sample() -> tuple[tuple[int, ...], int]:
    """The shape of a sample of `fashion_mnist()`, and the number of classes."""
    return (1, 28, 28), 10


def origin() -> str:
    """Where the files of `fashion_mnist()` would come from, without reading them."""
    return source.origin(SOURCES.values())


@register_dataset("fashion-mnist")
@described_without_loading(sample=sample, origin=origin)
def fashion_mnist() -> Splits:
    """Articles of clothing, 28 × 28, ten kinds: 60,000 train, 10,000 test (Xiao et al., arXiv 1708.07747).

    Each file is searched in the folder `$DTCBENCH_DATA_DIR/fashion-mnist/`, in the cache, and on
    the mirrors, in this order. The pixels' mean and standard deviation are those of the train split.

    Raises
    ------
    DatasetError : a file in the folder is not Fashion-MNIST's, or no copy can be reached
    """
    return idx.splits(SOURCES, Pixels(scale=255.0, mean=0.2860, std=0.3530))
