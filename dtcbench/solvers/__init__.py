"""The sparse-recovery algorithms, one file each: `(theta [n, m], y [n, k], lam) -> s [m, k]`, the
minimiser of ‖Θ s − y‖² + λ ‖s‖₁ per column.

A module here registers itself by being here; see `dtcbench.registry`. Libraries are imported
when a solver runs: CVXPY alone takes a second."""
