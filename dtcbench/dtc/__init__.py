"""The mathematics of Dual Tomographic Compression (DESIGN §3), on NumPy arrays: a layer's two
`projections`, `sensing` them, the weight `rays` recovered from that, and the `selection` of the
neurons that stay; and the `lasso` whose `duality` gap tells whether a `recovery` is right, which import torch
when they run. Pure: no files, no clock, no global random state."""
