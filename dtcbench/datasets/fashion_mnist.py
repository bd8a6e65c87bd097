"""Fashion-MNIST, from its four gzipped IDX files."""

from __future__ import annotations

from pathlib import Path

from dtcbench.datasets import idx, source
from dtcbench.datasets.description import described_without_loading
from dtcbench.datasets.source import Package
from dtcbench.datasets.splits import Pixels, Splits
from dtcbench.registry import register_dataset

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
)
PACKAGE = Package("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))
# Of the arrays in the package's files. Its gzip headers have no name and another time than the published files'; with
# those put back (name, and 31 August 2017), each file has the SHA-256 that TensorFlow Datasets
# (url_checksums/fashion_mnist.txt) and torchvision (prototype/datasets/_builtin/mnist.py) give for the published one.
SOURCES = idx.sources(
    "fashion-mnist",
    MIRRORS,
    {
        "train_x": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "train_y": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "test_x": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "test_y": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    PACKAGE,
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

    Each file is searched in the folder `$DTCBENCH_DATA_DIR/fashion-mnist/`, in the cache, in Debian's package
    `dataset-fashion-mnist`, and on the mirrors, in this order. The pixels' mean and standard deviation are those of
    the train split.

    Raises
    ------
    DatasetError : a file in the folder is not Fashion-MNIST's, or no copy can be reached
    """
    return idx.splits(SOURCES, Pixels(scale=255.0, mean=0.2860, std=0.3530))
