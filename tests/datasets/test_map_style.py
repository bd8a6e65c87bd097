"""A Dataset of torch as a data set: decoded once, pinned by its digest, and mapped from the cache."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from dtcbench.datasets.map_style import from_dataset
from dtcbench.datasets.splits import DatasetError, Splits

RNG = np.random.default_rng(8)
X = RNG.integers(0, 256, (12, 3, 4, 5), dtype=np.uint8)
Y = np.array([0, 1, 2] * 4)


class Items(Dataset):
    """What it is given, one by one; counts how often it is asked."""

    def __init__(self, items):
        self.items, self.asked = items, 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked += 1
        return self.items[index]


def digest(make, **options):
    with pytest.raises(DatasetError, match='no digest pins the data set; write sha256="') as caught:
        from_dataset(make, **options)
    return str(caught.value).split('"')[1]


PICTURES = [(Image.fromarray(x.transpose(1, 2, 0)), int(y)) for x, y in zip(X, Y, strict=True)]
SPELLINGS = {
    "tensors": TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
    "pictures": Items(PICTURES),
    "arrays and texts": Items([(x.astype(np.int64), "abc"[y]) for x, y in zip(X, Y, strict=True)]),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_items_of_every_spelling_are_the_same_data(spelling):
    items = SPELLINGS[spelling]
    both = lambda: (Subset(items, range(9)), Subset(items, range(9, 12)))  # noqa: E731
    splits = from_dataset(both, sha256=digest(both))
    assert splits.sha256 == Splits.from_arrays(X[:9], Y[:9], X[9:], Y[9:]).sha256


def test_it_is_decoded_once_and_mapped_afterwards(own_cache):
    items = Items(PICTURES)
    sha256 = digest(lambda: (items, items))
    asked = items.asked
    splits = from_dataset(lambda: (items, items), sha256=sha256)
    assert items.asked == asked
    assert isinstance(splits.train_x.base, np.memmap) or isinstance(splits.train_x, np.memmap)
    assert [path.name for path in own_cache.iterdir()] == ["file"]  # nothing else is left


def test_one_data_set_is_split_by_content_and_floats_are_standardised():
    features = torch.from_numpy(RNG.normal(3, 2, (60, 4)))
    items = TensorDataset(features, torch.arange(60) % 2)
    splits = from_dataset(lambda: items, sha256=digest(lambda: items), test=0.5)
    assert (len(splits.train_x), splits.input_shape) == (30, (4, 1, 1))
    assert splits.train_x.mean((0, 2, 3)) == pytest.approx([0] * 4, abs=1e-6)


def test_values_of_items_are_those_of_arrays_and_as_many_for_each():
    values = np.linspace(-1, 1, 24).reshape(12, 2)
    items = Items(list(zip(X, values, strict=True)))
    both = lambda: (Subset(items, range(9)), Subset(items, range(9, 12)))  # noqa: E731
    splits = from_dataset(both, sha256=digest(both, task="regression"), task="regression")
    assert splits.sha256 == Splits.from_arrays(X[:9], values[:9], X[9:], values[9:], "regression").sha256
    uneven = Items([(X[0], values[0]), (X[1], values[1, :1])])
    with pytest.raises(DatasetError, match="item 1 has 1 values, item 0 2; give as many for each"):
        from_dataset(lambda: uneven, task="regression")


def test_another_content_than_the_pinned_one_is_refused():
    sha256 = digest(lambda: (Items(PICTURES),) * 2)
    others = Items([(image.rotate(180), label) for image, label in PICTURES])
    assert digest(lambda: (others, others)) != sha256
    with pytest.raises(DatasetError, match=f"not {'0' * 64} as pinned; bring back the pinned data"):
        from_dataset(lambda: (others, others), sha256="0" * 64)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("items", "message"),
    {
        "iterable": (Endless(), "Endless: no map-style data set"),
        "empty": (Items([]), "Items: no map-style data set, or an empty one"),
        "single": (Items([X[0], X[1]]), "item 0: is not a pair of sample and class: ValueError"),
        "shapes": (Items([(X[0], 0), (X[0, :1], 1)]), r"item 1 is uint8 \[1, 4, 5\], item 0 uint8 \[3, 4, 5\]; bring"),
        "error": (Items([(X[0], 0), 5]), "item 1: is not a pair of sample and class: TypeError"),
        "objects": (Items([({}, 0)]), "item 0: .*the sample is dict"),
    }.values(),
)
def test_an_item_that_does_not_fit_is_named(items, message):
    with pytest.raises(DatasetError, match=message):
        from_dataset(lambda: items)
