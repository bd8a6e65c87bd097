"""What chooses the neurons, one file each: classes with the contract of `dtcbench.dtc.selection.Method`.

A module here registers itself by being here; see `dtcbench.registry`."""
