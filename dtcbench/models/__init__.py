"""The networks, one file each: `(input_shape, num_classes, *, generator, **options) -> nn.Module`.

A network registers itself by its module being here; see `dtcbench.registry`. What the modules share:
`initialisation` (how parameters are drawn), `shapes` (the inputs), `transformer` (its block).
"""
