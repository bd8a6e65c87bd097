"""Tiny Shakespeare: one text, read character by character."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.datasets import source
from dtcbench.datasets.cache import Pin
from dtcbench.datasets.description import described_without_loading
from dtcbench.datasets.source import Source
from dtcbench.datasets.splits import Array, DatasetError, Splits
from dtcbench.registry import register_dataset

VOCABULARY = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The text's 65 characters, sorted: a token is an index into it."""


def decode(path: Path, shape: tuple[int, ...]) -> Array:
    """The tokens [characters] of the text at `path`.

    Raises
    ------
    DatasetError : the problem with the text; the caller adds its name and the remedy
    """
    unknown = len(VOCABULARY)
    tokens = np.full(256, unknown, np.uint8)
    tokens[np.frombuffer(VOCABULARY.encode(), np.uint8)] = np.arange(unknown)
    with path.open("rb") as file:
        text = np.frombuffer(file.read(shape[0] + 1), np.uint8)
    decoded = tokens[text]
    if unknown in decoded:
        first = int(np.argmax(decoded == unknown))
        raise DatasetError(f"its byte {first} is 0x{text[first]:02x}, not one of the {unknown} characters")
    return decoded


SOURCE = Source(
    "input.txt",
    (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://raw.githubusercontent.com/jcjohnson/torch-rnn/master/data/tiny-shakespeare.txt",
    ),
    Pin(
        "tinyshakespeare/tokens",
        (1_115_394,),
        # Of the file itself, equal to the pin of TensorFlow Datasets (url_checksums/tiny_shakespeare.txt).
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "file",
    ),
    decode,
)


TEST_SIZE = SOURCE.pin.shape[0] - SOURCE.pin.shape[0] * 9 // 10
"""Characters in the test text, the last tenth."""


def sample(*, context: int = 64) -> tuple[tuple[int, ...], int]:
    """The shape of a sample of `tinyshakespeare(context=…)`, and the vocabulary's size."""
    return (context,), len(VOCABULARY)


def origin() -> str:
    """Where the file of `tinyshakespeare()` would come from, without reading it."""
    return source.origin([SOURCE])


@register_dataset("tinyshakespeare")
@described_without_loading(sample=sample, origin=origin)
def tinyshakespeare(*, context: Annotated[int, Field(gt=0, lt=TEST_SIZE)] = 64) -> Splits:
    """Shakespeare, 1.1 million characters of 65 kinds, in chunks (Karpathy's char-rnn, 2015).

    The first 90 % of the text train and the rest test, as in Karpathy's nanoGPT. Each part is cut
    into chunks of `context` characters without overlap; a shorter rest at its end is dropped. The label of
    a character is the next character. The file is searched in the folder
    `$DTCBENCH_DATA_DIR/tinyshakespeare/`, in the cache, and on the mirrors, in this order.

    Parameters
    ----------
    context : characters of a sample

    Raises
    ------
    DatasetError : the file in the folder is not the published one, no copy can be reached, or `context` is longer
        than the test text
    """
    tokens = SOURCE.load()
    train, test = np.split(tokens, [len(tokens) * 9 // 10])
    if context >= len(test):
        raise DatasetError(f"tinyshakespeare: context {context} leaves no test sample; choose at most {len(test) - 1}")
    return Splits.from_tokens(train, test, context, len(VOCABULARY))
