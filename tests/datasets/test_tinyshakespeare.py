"""Tiny Shakespeare: chunks of characters, each labelled with the next one."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dtcbench.datasets import tinyshakespeare as room
from dtcbench.datasets.splits import DatasetError
from dtcbench.datasets.tinyshakespeare import SOURCE, VOCABULARY, decode, origin, tinyshakespeare
from dtcbench.registry import datasets

REAL = Path(os.environ.get("DTCBENCH_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")
TEXT = (VOCABULARY * 4)[:200]


def tokens(text):
    return [VOCABULARY.index(character) for character in text]


@pytest.fixture
def data_file(data_root, monkeypatch):
    """A small text in the user's own folder, pinned."""
    pin = replace(SOURCE.pin, shape=(len(TEXT),), sha256=hashlib.sha256(TEXT.encode()).hexdigest())
    monkeypatch.setattr(room, "SOURCE", replace(SOURCE, pin=pin))
    path = data_root / "tinyshakespeare" / "input.txt"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def test_tinyshakespeare_is_registered_with_context_as_its_option():
    assert datasets.get("tinyshakespeare") is tinyshakespeare
    options = datasets.options("tinyshakespeare")
    assert options().model_dump() == {"context": 64}
    with pytest.raises(ValidationError):
        options(context=0)


def test_the_vocabulary_is_65_characters_in_their_order():
    assert len(VOCABULARY) == 65
    assert sorted(set(VOCABULARY)) == list(VOCABULARY)


def test_samples_are_consecutive_chunks_of_the_first_nine_tenths(data_file):
    splits = tinyshakespeare(context=7)
    assert splits.input_shape == (7,)
    assert splits.train_x.ravel().tolist() == tokens(TEXT[: 25 * 7])  # 179 of 180 have a next one: 25 chunks
    assert splits.test_x.ravel().tolist() == tokens(TEXT[180 : 180 + 2 * 7])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=st.integers(1, 19))
def test_every_label_is_the_next_character_of_the_same_part(data_file, context):
    splits = tinyshakespeare(context=context)
    for x, y, part in (
        (splits.train_x, splits.train_y, TEXT[:180]),
        (splits.test_x, splits.test_y, TEXT[180:]),
    ):
        assert x.shape == y.shape == ((len(part) - 1) // context, context)
        assert x.ravel().tolist() == tokens(part)[: x.size]
        assert y.ravel().tolist() == tokens(part)[1 : y.size + 1]


def test_arrays_are_read_only_tokens_without_pixels(data_file):
    splits = tinyshakespeare(context=4)
    for array in (splits.train_x, splits.train_y, splits.test_x, splits.test_y):
        assert array.dtype == np.uint8
        assert not array.flags.writeable
    assert (splits.pixels, splits.augment, splits.num_classes) == (None, None, 65)


def test_a_context_longer_than_the_test_text_is_refused_with_the_longest(data_file):
    assert len(tinyshakespeare(context=19).test_x) == 1
    with pytest.raises(DatasetError, match="context 20 leaves no test sample; choose at most 19"):
        tinyshakespeare(context=20)


@pytest.mark.parametrize("text", [TEXT[:-1], TEXT + "!", "", TEXT.replace("a", "b")], ids=["cut", "long", "", "edited"])
def test_another_text_in_the_data_folder_is_refused_by_name(data_file, text):
    data_file.write_text(text)
    with pytest.raises(DatasetError, match="not the published file") as refusal:
        tinyshakespeare()
    assert str(data_file) in str(refusal.value)


def test_a_byte_outside_the_vocabulary_is_named(tmp_path):
    path = tmp_path / "input.txt"
    path.write_bytes(b"To be\r\n")
    with pytest.raises(DatasetError, match="its byte 5 is 0x0d, not one of the 65 characters"):
        decode(path, (7,))


def test_no_more_than_one_character_too_many_is_read(tmp_path):
    path = tmp_path / "input.txt"
    path.write_text(TEXT)
    assert decode(path, (9,)).shape == (10,)


def test_the_second_mirror_serves_under_another_file_name(data_file, mirrors):
    mirrors.files[SOURCE.urls[1]] = data_file.rename(data_file.with_name("elsewhere.txt"))
    assert tinyshakespeare(context=5).train_x[0].tolist() == tokens(TEXT[:5])
    assert mirrors.asked == list(SOURCE.urls)


def test_origin_tells_where_the_text_is(data_file, monkeypatch):
    assert origin() == f"folder {data_file.parent}"
    monkeypatch.delenv("DTCBENCH_DATA_DIR")
    assert origin() == "download from raw.githubusercontent.com"


@pytest.mark.skipif(
    not (REAL / "tinyshakespeare").is_dir(), reason="no tinyshakespeare in DTCBENCH_DATA_DIR or ../shared/data"
)
def test_the_real_text_is_what_is_pinned_and_has_this_vocabulary(monkeypatch):
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(REAL))
    splits = tinyshakespeare()
    assert splits.train_x.shape == (15_685, 64)
    assert splits.test_x.shape == (1_742, 64)
    text = (REAL / "tinyshakespeare" / "input.txt").read_text()
    assert sorted(set(text)) == list(VOCABULARY)
    assert "".join(VOCABULARY[token] for token in splits.train_y[0]) == text[1:65]
    assert "".join(VOCABULARY[token] for token in splits.test_x[0]) == text[int(0.9 * len(text)) :][:64]
