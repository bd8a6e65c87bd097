"""The file of a trace: what a row says of its sample."""

import io

import numpy as np
import pandas as pd
import pytest
from energy.traces import POLL_S, segment, trace

from dtcbench.energy.trace import to_parquet


def test_times_count_from_the_first_sample_and_each_sample_has_its_phase_and_training():
    segments = [segment("train", 0.04, 0.09), segment("evaluate", 0.09, 0.11), segment("train", 0.14, 0.19, 1)]
    frame = pd.read_parquet(io.BytesIO(to_parquet(trace(seconds=0.2), segments, {})))
    assert frame["t_s"].tolist() == pytest.approx((POLL_S * np.arange(9)).tolist())
    marks = list(zip(frame["phase"].fillna("–"), frame["training"].fillna(-1), strict=True))
    outside, first, second = ("–", -1), ("train", 0), ("train", 1)
    assert marks == [outside, outside, first, first, ("evaluate", 0), outside, second, second, outside]
