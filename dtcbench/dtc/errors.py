"""Why a compression cannot be done. Each ends its cell with its own reason."""

from __future__ import annotations


class CompressionError(ValueError):
    """A prunable group cannot be compressed as asked."""


class NonFiniteError(CompressionError):
    """A network's weights or loss are NaN or infinite."""


class NoMeasurementError(CompressionError):
    """The width is too small for the published rule to measure anything."""


class NothingKeptError(CompressionError):
    """The rule would leave an empty layer."""


class SolverError(CompressionError):
    """A recovery solver failed or did not converge."""
