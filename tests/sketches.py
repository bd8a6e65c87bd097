"""Words in place of figures on paper, for tests that say nothing of them: drawing those of one run takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dtcbench.report.vega import Spec


@contextmanager
def sketches() -> Iterator[None]:
    """Every figure is described in full, as for the page, but not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dtcbench.report.paper.drawn", _sketch)
        yield


def _sketch(figure: Spec, form: str) -> bytes:
    return f"{form} of {len(figure['vconcat'])} panels\n".encode()
