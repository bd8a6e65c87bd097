"""The two recipes (DESIGN §3): `published`, the notebook's bit for bit, and `standard`, the fair one."""

from __future__ import annotations

from dtcbench.plan.protocol import Standard, from_choice
from dtcbench.record import Result
from dtcbench.training.course import Workplace
from dtcbench.training.published import run_published
from dtcbench.training.randomness import seeded_globals
from dtcbench.training.standard import run_standard


def run(work: Workplace) -> Result:
    """Train the cell by the protocol it names.

    CompressionError where it cannot be computed; NonFiniteError, one of these, where it diverged.
    """
    protocol = from_choice(work.cell.protocol)
    with seeded_globals(work.cell.seed):
        return run_standard(work, protocol) if isinstance(protocol, Standard) else run_published(work, protocol)
