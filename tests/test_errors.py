"""What is told of an error."""

import pytest

from dtcbench.text import error_line


@pytest.mark.parametrize("message", ["reason", "\nreason", "  reason\nand a stack", "\n\n reason \n"])
def test_the_first_line_that_says_something_is_told(message):
    assert error_line(ValueError(message)) == "ValueError: reason"


def test_an_error_without_words_is_told_by_its_kind():
    assert error_line(ValueError()) == error_line(ValueError("\n")) == "ValueError"
