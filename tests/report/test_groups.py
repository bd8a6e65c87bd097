"""What `dtcbench list --groups` says of a network."""

import io
import re

import pytest
from rich.console import Console

from dtcbench.errors import UserError
from dtcbench.report.groups import groups_table, parse_shape


def lines(view):
    console = Console(file=io.StringIO(), width=120)
    console.print(view)
    return console.file.getvalue().splitlines()


def test_each_group_has_its_consumer_shapes_and_projections():
    shown = lines(groups_table("lenet-5", (1, 28, 28)))
    row = next(line for line in shown if line.startswith("conv1"))
    cells = ("conv1", "hidden0", "16", "16×6×5×5", "120×16×25", "16 sums of 150", "16 sums of 3000")
    assert tuple(re.split(r"  +", row.strip())) == cells
    assert shown[-1].startswith("4 groups, 226 neurons")


def test_without_an_input_the_first_typical_one_that_fits_is_taken():
    assert lines(groups_table("gpt-nano", None))[0].strip() == "gpt-nano on 16"
    assert lines(groups_table("vgg-16", None))[0].strip() == "vgg-16 on 3×32×32"


def test_an_input_that_does_not_fit_says_what_would():
    with pytest.raises(UserError, match=r"takes none of these inputs.*\n  1x8x8: .*smallest"):
        groups_table("vgg-16", (1, 8, 8))


@pytest.mark.parametrize("text", ["", "3x", "3x32x-1", "0x3", "axb"])
def test_a_shape_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="write 3x32x32"):
        parse_shape(text)


def test_shapes_are_read():
    assert parse_shape("3x32X32") == (3, 32, 32)
    assert parse_shape("64") == (64,)
