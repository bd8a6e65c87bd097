"""The data dictionary: every column of every table has a meaning, and docs/columns.md is what it says."""

from pathlib import Path

import pandas as pd

from dtcbench.analysis import leaderboard
from dtcbench.records import dictionary, tables

DOCS = Path(__file__).parents[2] / "docs/columns.md"


def test_the_page_on_columns_is_what_the_dictionary_says():
    assert DOCS.read_text(encoding="utf-8") == dictionary.markdown(), "rebuild it as records/dictionary.py says"


def test_every_column_of_every_table_has_a_meaning_and_no_other_is_described(tiny_workplace):
    run = tiny_workplace / "runs/tiny"
    for name, absent in (("cells", (*tables.IN_MEMORY_ONLY, *tables.OF_REGRESSION)), ("cycles", ())):
        columns = [column for column in dictionary.TABLES[name] if column not in absent]
        assert list(pd.read_parquet(run / f"tables/{name}.parquet")) == columns
    assert list(pd.read_csv(run / "leaderboard.csv")) == list(leaderboard.COLUMNS)
    assert all(meaning for columns in dictionary.TABLES.values() for meaning in columns.values())


def test_a_columns_unit_is_told_by_its_name():
    for column, unit in {"energy_j": "J", "train_s_mean": "s", "accuracy_low": "fraction of 1", "seed": ""}.items():
        assert dictionary.unit(column) == unit


def test_a_numbers_meaning_is_the_docstring_of_its_field():
    assert tables.CELLS["evaluate_s"] == "Seconds evaluating; outside the energy window."
    assert tables.CYCLES["solver_s"] == "Seconds in the recovery solver, incoming and outgoing together."
