"""What methods share that rank the neurons of all groups together."""

# Annotations stay objects here: as text they would be read among the names of the module of each subclass.
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from dtcbench.dtc.selection import Method


@dataclass(frozen=True, kw_only=True)
class OneRanking(Method):
    """Drops the smallest scores, compared as they are; one threshold decides at the FLOPs of uniform widths."""

    comparable: ClassVar[bool] = True
    drop = "smallest"
    widths = "free"
    floor: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Of the number that uniform widths would leave, the fraction that every group keeps at least."""
