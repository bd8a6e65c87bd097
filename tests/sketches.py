"""Words in place of figures on paper, for tests that say nothing of them: drawing those of one run takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import plotly.graph_objects as go
import pytest


@contextmanager
def sketches() -> Iterator[None]:
    """Every figure is described in full, as for the page, but not drawn by matplotlib."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dtcbench.report.vector.drawn", _sketch)
        yield


def _sketch(figure: go.Figure, form: str) -> bytes:
    return f"{form} of {len(figure.data)} traces\n".encode()
