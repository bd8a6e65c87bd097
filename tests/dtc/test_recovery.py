"""The mathematics is complete without the solvers, which are built on it."""

import subprocess
import sys

VERIFIES = """
import sys
import numpy as np
from dtcbench.errors import SolverError
from dtcbench.dtc.recovery import Tolerance, checked_solver

@checked_solver(Tolerance())
def zeros(theta, y, lam):
    return np.zeros((theta.shape[1], y.shape[1]))

try:
    zeros(np.eye(3), np.ones((3, 1)), 0.3)
except SolverError as error:
    print(error)
print([name for name in sys.modules if name.startswith(("dtcbench.solvers", "dtcbench.training"))])
"""


def test_an_answer_is_verified_without_any_solver_being_loaded():
    told = subprocess.run([sys.executable, "-c", VERIFIES], capture_output=True, text=True, check=True).stdout
    refusal, loaded = told.splitlines()
    assert "duality gap" in refusal
    assert loaded == "[]"
