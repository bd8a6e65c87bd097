"""How a suite wants energy and use measured. This is not part of a cell's key, as it does not change the training."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dtcbench.validation import Strict, shown

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")
CALIBRATED = "calibrated"
"""The `min_window` of a suite whose boards `dtcbench calibrate` has measured."""
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(value: Any) -> Any:
    """The seconds of a time with its unit, such as 90s."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        trap = " (YAML reads 10:30 as 630)" if type(value) is int else ""
        raise ValueError(f"{shown(value)} is not a time with a unit{trap}; write 90s, 10m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def _window(value: Any) -> Any:
    return None if value == CALIBRATED else seconds(value)


Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds; in YAML a number with its unit, such as 90s, 10m or 2h."""


class CoolDown(Strict):
    """How a GPU cools down before a cell, so that the heat of the cell before does not change its energy."""

    at_least: Duration = Field(default=0.0)
    below_c: Annotated[float, Field(gt=0)] | None = None
    """Wait until the GPU is cooler than this, °C, or cools no further: then it is flagged `steady`."""
    at_most: Duration = Field(default=300.0)
    """Wait no longer than this; a GPU that is warmer and still cooling then is flagged `warm`."""


class Metering(Strict):
    """The suite's block `energy`. docs/energy.md explains the rules of measuring."""

    meter: Literal["auto", "none"] = "auto"
    """`none`: measure nothing, pair no GPUs, repeat no training."""
    min_window: Annotated[float | None, BeforeValidator(_window)] = 60.0
    """The training is repeated until the repeats take this long together, and at least once. The joules are those of
    the repeats, divided by their number. None, in YAML `calibrated`, until the board's calibration decides."""
    idle: Duration = Field(default=5.0)
    """How long the idle GPU is measured before a cell, without and with the cell's context."""
    cool_down: CoolDown = CoolDown()
    shared: Literal["refuse", "label"] = "refuse"
    """Whether to measure a board whose readings cover more than the cell: MIG, a part of a GPU, a foreign process."""
    required: bool = False
    """Whether to refuse the run on a node where no joules can be had, before the first training."""

    @property
    def least_s(self) -> float:
        """Seconds that measuring a cell takes at least, on top of its first training; a longer one is repeated once."""
        return self.cool_down.at_least + 2 * self.idle + (self.min_window or 0.0)

    def calibrated(self, window_s: float, cool_down_s: float) -> Metering:
        """With the window of a calibration, and with its pause unless the suite asks for a longer one."""
        pause = self.cool_down.model_copy(update={"at_least": max(cool_down_s, self.cool_down.at_least)})
        return self.model_copy(update={"min_window": window_s, "cool_down": pause})


Mode = Literal["eager", "cuda-graph"]
"""How a forward pass runs: operation by operation, or captured once and replayed."""


def _different(sizes: list[int]) -> list[int]:
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"{sizes}: each size once is enough")
    return sizes


class Using(Strict):
    """The suite's block `use`: measure the use of every cell's final network. docs/use.md explains the rules."""

    batch_sizes: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1), AfterValidator(_different)] = Field(
        default=[1, 64, 1024]
    )
    """Samples in one forward pass."""
    window: Annotated[Duration, Field(gt=0)] = 3.0
    """As many passes as take this long, by a pilot, are measured together. Joules of a GPU are coarse below 2 s."""
    windows: Annotated[int, Field(ge=6)] = 6
    """Windows of each way of use; from 6 on, an interval of at least 95 % of their median exists."""

    def seconds(self, ways: int) -> float:
        """About what so many ways of use take: one way takes a quarter of a window to warm up and count its passes, its
        windows, and a tenth of each for passes one by one."""
        return ways * self.window * (0.25 + 1.1 * self.windows)
