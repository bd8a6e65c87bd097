"""The networks, one file each: `(input_shape, num_classes, *, generator, **options) -> nn.Module`.

A module here registers itself by being here; see `dtcbench.registry`."""
