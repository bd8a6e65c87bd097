"""The methods that choose neurons, subclasses of `dtcbench.dtc.selection.Method`.

Every module in this folder is imported, and so registered; see `dtcbench.registry`."""
