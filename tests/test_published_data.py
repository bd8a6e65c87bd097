"""The paper's numbers that come with the package: all of them, unchanged, as numbers."""

from __future__ import annotations

import pandas as pd
from reference import reference_file

from dtcbench import published
from dtcbench.registry import methods


def test_the_accuracies_are_34_cycles_of_three_methods_that_the_bench_has():
    table = published.accuracies()
    assert list(table) == ["cycle", "width", "magnitude-published", "random-published", "dtc-published"]
    assert len(table) == 34
    assert table.drop(columns=["cycle", "width"]).stack().between(0.5, 1).all()
    assert set(table.columns[2:]) <= set(methods.names())
    assert table["dtc-published"].iloc[-1] == 0.5874597886029412  # to the last bit, on every pandas


def test_the_measurements_are_938_numbers_of_two_sides():
    table = published.measurements()
    assert len(table) == 938
    counts = table.groupby(["side", "cycle"]).size().unstack("side")
    assert (counts["incoming"] == counts["outgoing"]).all()
    assert counts["incoming"].iloc[[0, -1]].tolist() == [51, 1]


def test_they_are_those_of_the_supplement():
    given = pd.read_csv(reference_file("published_mnist.csv"), dtype=str)
    assert (given["dtc_accuracy"].astype(float) == published.accuracies()["dtc-published"]).all()
    given = pd.read_csv(reference_file("published_measurements.csv"), dtype=str)
    assert (given["y"].astype(float) == published.measurements()["y"]).all()
