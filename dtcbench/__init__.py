"""dtcbench: the independent test bench for Dual Tomographic Compression and its rivals.

The rooms read in the order data flow through them: `plan` (what to run), `execution` (running
it), `training` with `dtc`, `models`, `datasets`, `methods`, `solvers` (one cell), `energy`,
`records` (what a cell left behind), `analysis` (what it means), `report` (how it is shown).
"""

__version__ = "0.1.0"
