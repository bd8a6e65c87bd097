"""The looks of a run: the seeds of each, and several runs' looks as one."""

import pytest

from dtcbench.analysis.sequential import Looks
from dtcbench.errors import UserError
from dtcbench.plan.looks import GrowingSeeds, Look, LooksTaken

SEEDS = GrowingSeeds(first=5, step=5, most=15)


def look(seeds, *rows, decided=()):
    return Look(seeds=seeds, decided=list(decided), open=[], rows=list(rows))


def test_a_row_has_more_seeds_at_each_look_up_to_the_most():
    assert [SEEDS.until(look) for look in range(4)] == [range(5), range(10), range(15), range(15)]


def test_the_smallest_numbers_that_a_suite_may_give_make_looks_with_levels():
    smallest = GrowingSeeds(first=5, step=3, most=8)
    assert len(Looks(**smallest.model_dump()).levels()) == 2


def test_the_rows_of_a_look_have_the_seeds_of_the_next():
    looks = [look(5, "a", "b"), look(10, "b"), look(15)]
    rows = [LooksTaken(seeds=SEEDS, looks=looks[:taken]).rows for taken in range(4)]
    assert rows == [(), (frozenset("ab"),), (frozenset("ab"), frozenset("b")), (frozenset("ab"), frozenset("b"))]


def test_of_several_runs_a_row_goes_on_if_it_does_in_one():
    one = LooksTaken(seeds=SEEDS, looks=[look(5, "a", decided=["x"]), look(10, "a")])
    other = LooksTaken(seeds=SEEDS, looks=[look(5, "b", "a", decided=["x", "y"]), look(10)])

    assert LooksTaken.union([one, other]) == LooksTaken(
        seeds=SEEDS, looks=[look(5, "a", "b", decided=["x", "y"]), look(10, "a")]
    )
    with pytest.raises(UserError, match=r"grow differently: .*most: 15} and .*most: 20}"):
        LooksTaken.union([one, LooksTaken(seeds=GrowingSeeds(first=5, step=5, most=20), looks=[])])
