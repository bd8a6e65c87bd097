"""The mathematics of Dual Tomographic Compression (docs/design.md, The mathematics), on NumPy arrays.

`sensing` measures a layer's two projections and reconstructs them, `selection` chooses the neurons that stay,
`recovery` checks the solvers' answers by the duality gap that `lasso` computes, and `device` leaves on a GPU what is
large. Pure: no files, no clock, no global random state.
"""
