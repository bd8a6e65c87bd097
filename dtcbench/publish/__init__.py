"""From a run to results that others can check."""
