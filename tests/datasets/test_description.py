"""A data set's description without its files, and what happens if the description fails."""

import numpy as np
import pytest
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.datasets.description import described_without_loading, origin, sample
from dtcbench.datasets.splits import DatasetError, Splits

SQUARES = """
from random import sample
from shutil import copy as origin

import numpy as np
from dtcbench.datasets.splits import Splits
from dtcbench.registry import register_dataset


@register_dataset("squares")
def squares():
    return Splits.from_arrays(np.arange(200, dtype=np.uint8).reshape(50, 2, 2), [0, 1] * 25, [[[1, 2], [3, 4]]], [0])
"""


def unloadable():
    raise AssertionError("was read")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("digits", {"zoom": 3}, ((1, 24, 24), 10)),
        ("mnist", {}, ((1, 28, 28), 10)),
        ("fashion-mnist", {}, ((1, 28, 28), 10)),
        ("cifar-10", {"augmentation": "none"}, ((3, 32, 32), 10)),
        ("tinyshakespeare", {"context": 9}, ((9,), 65)),
    ],
)
def test_the_package_s_data_sets_describe_their_samples_without_their_files(mirrors, name, options, expected):
    assert sample(name, options) == expected
    assert not mirrors.asked


def test_two_data_sets_of_one_module_have_their_own_descriptions():
    for name, side in (("small", 4), ("large", 8)):
        describe = described_without_loading(
            sample=lambda side=side: ((1, side, side), 2), origin=lambda name=name: f"the {name} one"
        )
        registry.datasets.register(name)(describe(lambda: unloadable()))
    assert [sample(name, {}) for name in ("small", "large")] == [((1, 4, 4), 2), ((1, 8, 8), 2)]
    assert [origin(name) for name in ("small", "large")] == ["the small one", "the large one"]


def test_a_data_set_without_a_description_is_loaded():
    images = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3)
    registry.datasets.register("own")(lambda: Splits.from_arrays(images, [0, 1, 2, 0], images, [0, 1, 2, 0]))
    assert sample("own", {}) == ((1, 2, 3), 3)
    assert origin("own") == f"as {__name__} has it"


@pytest.mark.parametrize(
    "value",
    [lambda: None, unloadable, described_without_loading(sample=lambda: None, origin=str)(lambda: unloadable())],
    ids=["gives nothing", "fails", "describes nothing"],
)
def test_a_data_set_that_fails_is_named(value):
    registry.datasets.register("own")(value)
    with pytest.raises(DatasetError, match=r"^own: "):
        sample("own", {})


def test_an_origin_that_fails_is_unknown():
    describe = described_without_loading(sample=lambda: ((1,), 2), origin=lambda: {}["share"])
    registry.datasets.register("own")(describe(unloadable))
    assert origin("own") == "unknown: KeyError: 'share'"


def test_a_plug_in_may_import_what_it_likes(tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SQUARES)
    (tmp_path / "tiny.yaml").write_text(edited(TINY, ("digits", "squares")))
    assert "cells: 0 done" in dtcbench("plan", "tiny.yaml", "--plugin", "mine.py").out
    assert origin("squares").startswith("as dtcbench_plugin_mine")
