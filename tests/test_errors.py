"""What is told of an error."""

import pytest

from dtcbench.errors import told


@pytest.mark.parametrize("message", ["reason", "\nreason", "  reason\nand a stack", "\n\n reason \n"])
def test_the_first_line_that_says_something_is_told(message):
    assert told(ValueError(message)) == "ValueError: reason"


def test_an_error_without_words_is_told_by_its_kind():
    assert told(ValueError()) == told(ValueError("\n")) == "ValueError"
