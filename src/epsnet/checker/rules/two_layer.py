r"""Rule `two_layer`: how far a two-layer ReLU network is from the global optimum of its training.

* two-layer-objective: objective <= value of the network of the claim. Witness: the problem, `shape`, ``inputs``,
  `labels` and `beta`, which the claim names by its hash.
* relu-duality: objective >= value of every two-layer ReLU network. Witness: the problem, a dual `point` nu, and `rows`
  in general position in place of the inputs, more than n if there are less than d. That |h| <= beta on the unit ball is
  checked by all faces of the arrangement (`core.arrangement`), and the value is at most nu . y - |nu|^2/2.
* relu-relaxation: as relu-duality, by quadratic functions that bound h and -h in any dimension (`relaxed_bound`).
  Witness: the problem, `point`, and `curvatures`, `slopes` (2 n) and `multipliers` (2) for both signs.
* spline-objective and spline-duality: the same for splines on the line (`core.total_variation`). Witness: the problem,
  and the spline (`affine`, `knots`, `coefficients`) or the dual values `inner` at the points between the ends.
* duality-gap: the difference of the two; no witness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.core.arrangement import MAX_DIMENSION, Arrangement
from epsnet.core.total_variation import FEASIBLE, spline_dual_value, spline_network, spline_objective, spline_text
from epsnet.core.two_layer import (
    EVALUATED,
    EXCESS,
    LEAST,
    OBJECTIVE,
    RELAXED,
    arrangement_hypothesis,
    constraint_bound,
    dual_value,
    objective,
    problem_text,
    relaxed_bound,
    two_layer_weights,
)

Floats = NDArray[np.float64]

_MAX_SIZE = 2**20
"""The largest sample, in numbers: some seconds, and less than a gigabyte, in balls."""


def check(context: Context) -> Verdict:
    """Check a claim by its theorem."""
    return {
        "two-layer-objective": _objective,
        "relu-duality": _duality,
        "relu-relaxation": _relaxation,
        "spline-objective": _spline_objective,
        "spline-duality": _spline_duality,
        "duality-gap": _gap,
    }[context.claim.theorem](context)


def _objective(context: Context) -> Verdict:
    inputs, labels, beta = _problem(context)
    context.states(OBJECTIVE + problem_text(inputs, labels, beta), "<=", domain=False, network=True)
    value = objective(inputs, labels, beta, *two_layer_weights(context.network, inputs))
    context.require(value <= ball(context.claim.limit), "The objective may be larger. State a larger value.")
    return Verdict(Kind.VERIFIED, (EVALUATED,))


def _duality(context: Context) -> Verdict:
    inputs, labels, beta = _problem(context)
    context.states(LEAST + problem_text(inputs, labels, beta), ">=", domain=False)
    point, rows = _floats(context, "point"), _floats(context, "rows")
    count, dimension = inputs.shape
    fits = dimension <= MAX_DIMENSION and len(point) == count and len(rows) % dimension == 0
    fits = fits and len(rows) <= _MAX_SIZE and count <= len(rows) // dimension <= count + dimension
    context.require(fits, "The dual point or the rows do not fit the inputs. Build it anew.")
    rows = rows.reshape(-1, dimension)
    arrangement = Arrangement.of(rows)
    bound = constraint_bound(arrangement, inputs, rows, point, beta)
    context.require(bound <= beta, f"A neuron may violate the dual constraint: {bound!r}. Scale the dual point.")
    value = dual_value(labels, point)
    context.require(value >= ball(context.claim.limit), "The dual value may be smaller. State a smaller value.")
    return Verdict(Kind.VERIFIED, (arrangement_hypothesis(arrangement),))


def _relaxation(context: Context) -> Verdict:
    inputs, labels, beta = _problem(context)
    context.states(LEAST + problem_text(inputs, labels, beta), ">=", domain=False)
    point, multipliers = _floats(context, "point"), _floats(context, "multipliers")
    curvatures, slopes = _floats(context, "curvatures"), _floats(context, "slopes")
    sizes = len(point), len(curvatures), len(slopes), len(multipliers)
    fits = sizes == (len(labels), 2 * len(labels), 2 * len(labels), 2)
    context.require(fits, "The relaxation does not fit the inputs. Build it anew.")
    for sign, alpha, sigma, shift in zip(
        (1, -1), np.split(curvatures, 2), np.split(slopes, 2), multipliers.tolist(), strict=True
    ):
        bound = relaxed_bound(inputs, sign * point, alpha, sigma, shift)
        context.require(bound <= ball(beta), "A neuron may violate the dual constraint. Scale the dual point.")
    value = dual_value(labels, point)
    context.require(value >= ball(context.claim.limit), "The dual value may be smaller. State a smaller value.")
    return Verdict(Kind.VERIFIED, (RELAXED,))


def _spline_objective(context: Context) -> Verdict:
    points, labels, beta = _line(context)
    context.states(OBJECTIVE + spline_text(points, labels, beta), "<=", domain=False, network=True)
    affine, knots, coefficients = (_floats(context, name) for name in ("affine", "knots", "coefficients"))
    fits = len(affine) == 2 and len(knots) == len(coefficients) <= _MAX_SIZE
    context.require(fits, "The spline is malformed. Build it anew.")
    spline = float(affine[0]), float(affine[1]), knots, coefficients
    context.require_network(spline_network(*spline))
    value = spline_objective(points[:, 0], labels, beta, spline)
    context.require(value <= ball(context.claim.limit), "The objective may be larger. State a larger value.")
    return Verdict(Kind.VERIFIED, (EVALUATED,))


def _spline_duality(context: Context) -> Verdict:
    points, labels, beta = _line(context)
    context.states(LEAST + spline_text(points, labels, beta), ">=", domain=False)
    inner = _floats(context, "inner")
    context.require(bool((np.abs(inner) <= beta).all()), "A dual value is larger than beta. Scale the dual point.")
    value = spline_dual_value(points[:, 0], labels, inner)
    context.require(value >= ball(context.claim.limit), "The dual value may be smaller. State a smaller value.")
    return Verdict(Kind.VERIFIED, (FEASIBLE,))


def _line(context: Context) -> tuple[Floats, Floats, float]:
    points, labels, beta = _problem(context)
    context.require(points.shape[1] == 1, "The points are not on the line. Build it anew.")
    return points, labels, beta


def _gap(context: Context) -> Verdict:
    claim = context.claim
    context.require(claim.quantity.startswith(EXCESS), "It is no gap. Build it anew.")
    context.states(claim.quantity, "<=", premises=2, domain=False, network=True)
    problem = claim.quantity.removeprefix(EXCESS)
    primal, dual = context.premises
    same = _form(primal) == (OBJECTIVE + problem, "<=", claim.network) and _form(dual) == (LEAST + problem, ">=", None)
    context.require(same, "The premises are not objective and lower bound of one problem. Build it anew.")
    context.require(claim.limit >= primal.limit - dual.limit, "It may be larger. State the difference.")
    return Verdict(Kind.VERIFIED)


def _form(bound: Bound) -> tuple[str, str, str | None]:
    return bound.quantity, bound.sense, bound.network


def _problem(context: Context) -> tuple[Floats, Floats, float]:
    """Return inputs (n, d), labels (n,) and beta of the witness."""
    shape, inputs = context.array("shape", "i").tolist(), _floats(context, "inputs")
    labels, beta = _floats(context, "labels"), _floats(context, "beta")
    fits = len(shape) == 2 and min(shape) >= 1 and shape[0] * shape[1] == len(inputs) <= _MAX_SIZE
    fits = fits and len(labels) == shape[0] and len(beta) == 1 and beta[0] > 0
    context.require(fits, "The problem of the witness is malformed. Build it anew.")
    return inputs.reshape(shape), labels, float(beta[0])


def _floats(context: Context, name: str) -> Floats:
    array = context.array(name, "f")
    context.require(array.dtype == np.float64, f"The array {name!r} of the witness is not float64. Build it anew.")
    return array
