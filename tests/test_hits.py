"""Hits of a cell: one bit for each test sample, as text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.hits import packed, unpacked


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_hits_come_back_whole(hits):
    assert unpacked(packed(np.array(hits)), len(hits)).tolist() == hits


@pytest.mark.parametrize(
    ("text", "samples", "wrong"),
    [
        ("gA==", 9, "1 bytes are not the bits of 9 samples"),
        ("gA==", 0, "not the bits of 0 samples"),
        ("gQ==", 7, "a bit behind the 7 samples is set"),
        ("g!A=", 8, "Only base64 data"),
        ("\u00fc", 8, "ASCII"),
    ],
)
def test_a_text_of_other_samples_is_refused(text, samples, wrong):
    with pytest.raises(ValueError, match=wrong):
        unpacked(text, samples)
