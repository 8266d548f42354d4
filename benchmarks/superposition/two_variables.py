"""What a network of fixed widths costs in two variables: bits of its weights for an accuracy that is VERIFIED.

    python benchmarks/superposition/two_variables.py

builds, for each formula and accuracy, the network of 29 inner and 15 outer neurons of `approximation.superposition`.
H is a lower bound of the bits that a code takes for all functions on [0, 1]^2 with the steepness 2 of x*y (study
universal-architectures). One level of cells ends near 1/26 of the oscillation of what no sum of two functions of one
variable holds: 0.019 for x*y. In some minutes it prints, among others:

    x*y              eps 0.1   error <= 0.0939493   all bits  2,516 cells   1596   H >= 81
    x*y              eps 0.05  error <= 0.0463519   all bits  4,978 cells  12656   H >= 361
    x*y              eps 0.035 error <= 0.0341199   all bits  9,229 cells  28392   H >= 784
    sin(pi*x)*y      eps 0.05  error <= 0.0480876   all bits  8,159 cells  28392   H >= 361
    x^2 + y^2        eps 0.035 error <= 0.0330479   all bits  5,582 cells  19740   H >= 784
    exp(-(x - y)^2)  eps 0.05  error <= 0.0492460   all bits  5,803 cells  12656   H >= 361
"""

from __future__ import annotations

import time
from fractions import Fraction

from epsnet.approximation.superposition import superposition_network
from epsnet.approximation.universal import bits_of_weights
from epsnet.certify.domain import Box
from epsnet.core.target import Target
from epsnet.studies.universal_architectures import entropy_in_the_plane

FORMULAS = ("x*y", "sin(pi*x)*y", "x^2 + y^2", "exp(-(x - y)^2)")

for formula in FORMULAS:
    for eps in ("0.1", "0.05", "0.035"):
        start = time.perf_counter()
        found = superposition_network(Target(formula, Box([0, 0], [1, 1])), Fraction(eps))
        cells = found.error.hypotheses[0].partition(" ")[0]
        print(
            f"{formula:16} eps {eps:6} error <= {found.error.decimal():10} all bits {bits_of_weights(found.network):6,}"
            f" outer {found.weight_bits:6,} cells {cells:>6} {time.perf_counter() - start:5.0f} s   "
            f"H >= {entropy_in_the_plane(float(eps)):.0f}",
            flush=True,
        )
