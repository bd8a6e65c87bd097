"""The looks of a run: the seeds of each, and several runs' looks as one."""

import pytest

from dtcbench.analysis.sequential import Looks
from dtcbench.errors import UserError
from dtcbench.plan.looks import Course, GrowingSeeds, Look

SEEDS = GrowingSeeds(first=5, step=5, most=15)


def look(seeds, *rows, decided=()):
    return Look(seeds=seeds, decided=list(decided), open=[], rows=list(rows))


def test_a_row_has_more_seeds_at_each_look_up_to_the_most():
    assert [SEEDS.until(look) for look in range(4)] == [range(5), range(10), range(15), range(15)]


def test_the_smallest_numbers_that_a_suite_may_give_make_looks_with_levels():
    smallest = GrowingSeeds(first=5, step=3, most=8)
    assert len(Looks(**smallest.model_dump()).levels()) == 2


def test_a_course_is_over_once_no_row_goes_on():
    course = Course(seeds=SEEDS, looks=[])
    assert (course.is_over, course.rows) == (False, ())
    course = course.with_look(look(5, "a", "b"))
    assert (course.is_over, course.rows) == (False, (frozenset("ab"),))
    course = course.with_look(look(10))
    assert (course.is_over, course.rows) == (True, (frozenset("ab"),))


def test_of_several_runs_a_row_goes_on_if_it_does_in_one():
    one = Course(seeds=SEEDS, looks=[look(5, "a", decided=["x"]), look(10, "a")])
    other = Course(seeds=SEEDS, looks=[look(5, "b", "a", decided=["x", "y"]), look(10)])

    assert Course.union([one, other]) == Course(
        seeds=SEEDS, looks=[look(5, "a", "b", decided=["x", "y"]), look(10, "a")]
    )
    with pytest.raises(UserError, match=r"grow differently: .*most: 15} and .*most: 20}"):
        Course.union([one, Course(seeds=GrowingSeeds(first=5, step=5, most=20), looks=[])])
