"""Cone programs min x'Px/2 + q'x with b - Ax in a product of cones, by Clarabel; the result proves nothing."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import MissingExtraError

Floats = NDArray[np.float64]
Cone = tuple[Literal["Zero", "Nonnegative", "SecondOrder", "PSDTriangle"], int]
"""Its kind and its size: the number of rows of A, or of the semidefinite matrix whose upper triangle is stored column
by column, with the entries off the diagonal times sqrt(2)."""


def solve_cone_program(
    quadratic: Any, linear: Floats, matrix: Any, right: Floats, cones: Sequence[Cone], tol: float = 1e-8
) -> Floats:
    """Return x (n,), as good as the solver gets it.

    Args:
        quadratic: P (n, n), dense or sparse, of which the upper triangle counts.
        linear: q (n,).
        matrix: A (m, n), dense or sparse.
        right: b (m,).
        cones: in the order of the rows of A.
        tol: of the residuals and the gap.

    Raises:
        MissingExtraError: clarabel is not installed.
    """
    try:
        clarabel: Any = importlib.import_module("clarabel")
    except ImportError:
        raise MissingExtraError("optimization", "Solving cone programs") from None
    from scipy import sparse

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tol
    kinds = [getattr(clarabel, f"{name}ConeT")(size) for name, size in cones]
    upper = sparse.triu(quadratic, format="csc")
    solver = clarabel.DefaultSolver(upper, linear, sparse.csc_matrix(matrix), right, kinds, settings)
    return np.array(solver.solve().x)
