r"""Which of many minimizers gradient descent finds: the one of least norm, the one of largest margin.

*Least squares.* For f(w) = |X w - y|^2/2 the gradients lie in the range of X^T, so w_k moves in w_0 + range X^T, and

$$ w_k \to w_0 + X^+ (y - X w_0), \qquad |w_k - w_\infty| \le q^k\,|w_0 - w_\infty|, \quad
   q = \max_{s_i > 0} |1 - \eta s_i^2| < 1 $$

for every step size 0 < eta < 2/s_1^2, where s_i are the singular values of X. From w_0 = 0 the limit is the minimizer
of least norm.

*Separable data.* Let y_i = 1 or -1 and z_i = y_i x_i. The largest margin is the distance of 0 to the convex hull of
the z_i,

$$ \max_w \min_i \frac{w \cdot z_i}{|w|} = \min_{\alpha \ge 0,\ \sum \alpha_i = 1} \Bigl|\sum_i \alpha_i z_i\Bigr|, $$

if that is positive; otherwise no classifier separates the data, and alpha with sum alpha_i z_i = 0 proves it. Let w^ be
the w of least norm with min_i w . z_i = 1. The gradient flow of the logistic loss is w(t) = w^ log t + w~ + o(1): it
turns to the largest margin, but as slowly as

$$ \Bigl| \frac{w(t)}{|w(t)|} - \frac{\hat w}{|\hat w|} \Bigr| \log t \to \frac{|P^\perp \tilde w|}{|\hat w|}, \qquad
   \sum_{z_i \cdot \hat w = 1} z_i\,e^{-z_i \cdot \tilde w} = \hat w, $$

with the projection P^perp onto the complement of w^, provided that some alpha > 0 on all support vectors gives w^ and
that they span the data. Descent along the gradient divided by the loss gets there in polynomial time.

Sources: D. Soudry, E. Hoffer, M. S. Nacson, S. Gunasekar, N. Srebro, The implicit bias of gradient descent on separable
data, JMLR 19 (2018); M. S. Nacson et al., Convergence of gradient descent on separable data, AISTATS 2019; P. Wolfe,
Finding the nearest point in a polytope, Mathematical Programming 11 (1976) 128-149.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError, HypothesisError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.checker.rules import margin as rule
from epsnet.core.deep_linear import Matrix, as_fraction, rational
from epsnet.core.linear_maps import frozen_floats
from epsnet.core.solution import Statements

Floats = NDArray[np.float64]

_MOST_EXACT = 100
"""The most support vectors for which the optimum is found in rationals."""

_TIGHT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LeastSquaresLimit:
    """Where gradient descent on least squares goes, in float64, with what certifies it.

    w_infinity is the only point of w_0 + range X^T whose gradient X^T (X w - y) is 0. Two numbers, computed in
    rationals from the numbers as stored and rounded up, say how nearly that is true of the limit.

    Attributes:
        limit: (d,) w_infinity.
        factor: q, by which the distance shrinks in each step at least.
        largest_step: 2/s_1^2.
        off_row_space: |limit - w_0 - X^T a|_2 for some a.
        gradient: |X^T (X limit - y)|_2.
    """

    limit: Floats
    factor: float
    largest_step: float
    off_row_space: float
    gradient: float


def least_squares_limit(inputs: ArrayLike, labels: ArrayLike, step: float, start: ArrayLike = 0.0) -> LeastSquaresLimit:
    """Return the limit of w <- w - step X^T (X w - y).

    Args:
        inputs: X, (n, d), of any rank.
        labels: y, (n,).
        step: eta.
        start: w_0, (d,), or 0.

    Raises:
        DomainError: shapes that do not fit, or a number that is not finite.
        HypothesisError: eta is not between 0 and 2/s_1^2, so that descent diverges for some y.
    """
    x, y = _sample(inputs, labels)
    w = frozen_floats(start, "entries of the start")
    if w.shape not in ((), x.shape[1:]):
        raise DomainError(
            f"The start has the shape {w.shape}, the inputs have {x.shape[1]} columns. Give one for each."
        )
    if not x.any():
        raise DomainError("All inputs are 0, so nothing moves. Give other inputs.")
    _require_scale(x, 1e100)
    w = np.broadcast_to(w, x.shape[1:])
    left, sizes, right = np.linalg.svd(x, full_matrices=False)
    kept = sizes > sizes[0] * max(x.shape) * np.finfo(float).eps
    largest = 2 / float(sizes[0]) ** 2
    if not 0 < step < largest:
        raise HypothesisError(f"The step size {step!r} is not between 0 and 2/s^2 = {largest:.6g}. Give another.")
    parts = (left[:, kept].T @ (y - x @ w)) / sizes[kept]
    limit, combination = w + right[kept].T @ parts, left[:, kept] @ (parts / sizes[kept])
    exact, found = rational(x), rational(limit)
    off = _length_up(found - rational(w) - rational(combination) @ exact)
    gradient = _length_up(exact.T @ (exact @ found - rational(y)))
    return LeastSquaresLimit(limit, float(np.abs(1 - step * sizes[kept] ** 2).max()), largest, off, gradient)


def _length_up(vector: Matrix) -> float:
    with ball_arithmetic():
        return round_up(ball(as_fraction(vector @ vector)).sqrt())


@dataclass(frozen=True, slots=True, eq=False)
class MaxMargin:
    """The linear classifier of largest margin on a sample, with both sides proved.

    Attributes:
        classifier: (d,) w^, scaled so that the least y_i (w . x_i) is 1 up to rounding.
        margin: margin of this classifier >= v.
        largest: largest margin of all linear classifiers <= u.
        weights: (n,) alpha, of sum 1; positive on support vectors only.
        statements: the classifier as a network with both bounds, for `check`.
    """

    classifier: Floats
    margin: Bound
    largest: Bound
    weights: Floats
    statements: Statements

    @property
    def angle(self) -> float:
        """An upper bound of the angle between w^ and the exact classifier of largest margin, in radians.

        The latter is the point z* of the hull of the y_i x_i nearest to 0, and v |w^| <= w^ . z* for a margin >= v, so
        that the cosine of the angle is at least v/|z*| >= v/u.
        """
        with ball_arithmetic():
            return round_up(ball(self.margin.limit / max(self.margin.limit, self.largest.limit)).acos())


def max_margin(inputs: ArrayLike, labels: ArrayLike) -> MaxMargin:
    """Return the linear classifier x -> w . x of largest margin; append a column of ones for one with a bias.

    Up to 100 support vectors the optimum is found in rationals, and the bounds differ by rounding alone; beyond that
    both are what float64 reaches.

    Args:
        inputs: (n, d); duplicate points do no harm.
        labels: (n,) of 1 and -1, of which both occur.

    Raises:
        DomainError: shapes that do not fit, a number that is not finite, other labels, or more than 200,000 numbers.
        HypothesisError: all points are of one class, or no linear classifier separates them; the message says which
            convex combination of the y_i x_i is 0.

    Example:
        >>> found = max_margin([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [1, 1, -1])
        >>> print(found.largest.decimal())
        0.707107
    """
    x, y = classes(inputs, labels)
    if x.size > rule.MAX_NUMBERS:
        raise DomainError(f"The inputs have {x.size} entries, the most is {rule.MAX_NUMBERS}. Use a part of them.")
    points = rule.signed_points(x, y)
    alpha, exact = _nearest_point(x * y[:, None], points)
    if exact is not None:
        nearest = exact @ points
        square = as_fraction(nearest @ nearest)
        if square == 0:
            raise HypothesisError(
                f"No linear classifier separates the data: 0 = {_combination(exact)}. "
                "Append a column of ones for a bias, or use features that separate them."
            )
        try:
            classifier = np.array([float(as_fraction(value) / square) for value in nearest])
        except OverflowError:
            raise DomainError("The inputs are too small for a classifier in float64. Scale them.") from None
    else:
        nearest = alpha @ (x * y[:, None])
        classifier = nearest / max(float(nearest @ nearest), np.finfo(float).tiny)
    low, high = _own_margin(points, classifier), _distance(points, alpha)
    if low <= 0:
        raise HypothesisError(
            f"The largest margin is at most {high:.3g}, too small for a classifier in float64. Scale the features."
        )
    return _certified(x, y, classifier, alpha, low, high)


def _certified(x: Floats, y: Floats, classifier: Floats, alpha: Floats, low: float, high: float) -> MaxMargin:
    network, flat = rule.linear_network(classifier), {"inputs": x.ravel(), "labels": y}
    shared: dict[str, Any] = {
        "kind": Kind.VERIFIED, "theorem": "margin-duality", "rule": "margin", "measure": rule.measure(x.ravel(), y)
    }  # fmt: skip
    count = f"{len(y)} points"
    margin = Bound(
        quantity=rule.MARGIN, sense=">=", value=low, network=network.sha256, hypotheses=(rule.LINEAR, count), **shared
    )
    largest = Bound(quantity=rule.LARGEST, sense="<=", value=high, hypotheses=(rule.CONVEX, count), **shared)
    certificate = Certificate.of((margin, largest), ((margin, flat), (largest, flat | {"weights": alpha})))
    return MaxMargin(classifier, margin, largest, alpha, Statements(network, certificate))


def _own_margin(points: Matrix, classifier: Floats) -> float:
    """Return the margin of a classifier, rounded down; 0 if it separates nothing."""
    weights = rational(classifier)
    least = as_fraction(min(points @ weights))
    if least <= 0:
        return 0.0
    with ball_arithmetic():
        return round_down(ball(least) / ball(as_fraction(weights @ weights)).sqrt())


def _distance(points: Matrix, alpha: Floats) -> float:
    exact = rational(alpha)
    point = exact @ points
    with ball_arithmetic():
        return round_up(ball(as_fraction(point @ point)).sqrt() / ball(as_fraction(exact.sum())))


def _nearest_point(z: Floats, points: Matrix) -> tuple[Floats, Matrix | None]:
    """Return alpha of the point of the convex hull of the rows that is nearest to 0, in float64 and in rationals.

    The least distance problem of Lawson and Hanson: |Z^T u|^2 + (1 - sum u)^2 is least over u >= 0 at a multiple of
    alpha. Its support is where the search in rationals begins.
    """
    from scipy.optimize import nnls

    scale = float(np.abs(z).max())
    if scale == 0:
        raise HypothesisError("All points are 0, and none can be separated. Give other points.")
    system = np.vstack([z.T / scale, np.ones(len(z))])
    try:
        solution = nnls(system, np.append(np.zeros(z.shape[1]), 1.0), maxiter=100 * len(z))[0]
    except RuntimeError:  # it went in circles; rationals do not
        solution = np.zeros(len(z))
    support = np.flatnonzero(solution > 0).tolist()
    if len(support) > _MOST_EXACT:
        return solution / solution.sum(), None
    exact = _wolfe(points, support)
    return np.array([float(as_fraction(value)) for value in exact]), exact


def _wolfe(points: Matrix, start: Sequence[int]) -> Matrix:
    """Return alpha (n,) of the point of the convex hull of the rows nearest to 0, by Wolfe's algorithm in rationals.

    A corral is a set of affinely independent points whose nearest affine combination is a convex one. Each step adds
    the point farthest on the near side of the plane through the current point, and leaves out points until there is a
    corral again; the distance falls, so that no corral comes twice.
    """
    corral = list(start)
    weights = _affine_weights(points, corral) if corral else None
    if weights is None or min(weights) <= 0:
        corral, weights = [min(range(len(points)), key=lambda i: points[i] @ points[i])], [fmpq(1)]
    while True:
        current = np.array(weights, dtype=object) @ points[corral]
        sides = points @ current
        new = min(range(len(points)), key=lambda i: sides[i])
        if sides[new] >= current @ current:
            alpha = np.full(len(points), fmpq(0), dtype=object)
            alpha[corral] = weights
            return alpha
        corral, weights = [*corral, new], [*weights, fmpq(0)]
        while min(target := _affine_weights(points, corral) or [fmpq(0)]) <= 0:
            share = min(w / (w - t) for w, t in zip(weights, target, strict=True) if t <= 0)
            weights = [w + share * (t - w) for w, t in zip(weights, target, strict=True)]
            corral = [i for i, w in zip(corral, weights, strict=True) if w > 0]
            weights = [w for w in weights if w > 0]
        weights = target


def _affine_weights(points: Matrix, corral: Sequence[int]) -> list[fmpq] | None:
    """Return the weights of sum 1 of the affine combination nearest to 0; None if the points are affinely dependent."""
    own = points[corral]
    gram, size = own @ own.T, len(corral)
    system = fmpq_mat([[*row, fmpq(1)] for row in gram.tolist()] + [[fmpq(1)] * size + [fmpq(0)]])
    try:
        solved = system.solve(fmpq_mat(size + 1, 1, [fmpq(0)] * size + [fmpq(1)]))
    except ZeroDivisionError:
        return None
    return [solved[i, 0] for i in range(size)]


def _combination(alpha: Matrix) -> str:
    terms = []
    for number, value in enumerate(alpha):
        if value > 0:
            text = str(value)
            terms.append(f"{text if len(text) <= 20 else f'{float(as_fraction(value)):.12g}'} y_{number} x_{number}")
    return " + ".join(terms)


@dataclass(frozen=True, slots=True, eq=False)
class SlowTurn:
    """How slowly gradient flow turns to the largest margin, in float64.

    Attributes:
        classifier: (d,) w^.
        offset: (d,) w~.
        constant: |P^perp w~|/|w^|, the limit of the error of the direction times log t.
    """

    classifier: Floats
    offset: Floats
    constant: float


def slow_turn(inputs: ArrayLike, labels: ArrayLike) -> SlowTurn:
    """Return the constant in front of 1/log t, for a flow that starts at 0.

    Args:
        inputs: (n, d).
        labels: (n,) of 1 and -1.

    Raises:
        DomainError: the sample is unusable, or its largest input is not between 1e-50 and 1e50.
        HypothesisError: the data are not separable, the support vectors do not span the data, or no positive
            combination of all of them gives w^.
    """
    x, y = classes(inputs, labels)
    _require_scale(x, 1e50)
    z, classifier = x * y[:, None], max_margin(x, y).classifier
    tight = z[np.abs(z @ classifier - 1) <= _TIGHT]
    if np.linalg.matrix_rank(tight) < np.linalg.matrix_rank(z):
        raise HypothesisError(
            "The support vectors do not span the data, and the constant depends on the other points. Add points."
        )
    _, sizes, right = np.linalg.svd(tight, full_matrices=False)
    basis = right[sizes > sizes[0] * 1e-12]
    offset = _balance(tight @ basis.T, basis @ classifier) @ basis
    unit = classifier / np.linalg.norm(classifier)
    constant = np.linalg.norm(offset - (offset @ unit) * unit) / np.linalg.norm(classifier)
    return SlowTurn(classifier, offset, float(constant))


def _balance(tight: Floats, target: Floats) -> Floats:
    """Return the v with sum z exp(-z . v) = w^, the minimizer of sum exp(-z . v) + w^ . v, by damped Newton steps."""
    v, length = np.zeros(len(target)), float(np.linalg.norm(target))
    for _ in range(200):
        terms = np.exp(-tight @ v)
        gradient = target - terms @ tight
        if np.linalg.norm(gradient) <= 1e-13 * length:
            break
        change = -np.linalg.lstsq((tight * terms[:, None]).T @ tight, gradient, rcond=None)[0]
        # Each term changes by the factor e at most, so that the quadratic model is a fair one.
        v = v + change / max(1.0, float(np.abs(tight @ change).max()))
    terms = np.exp(-tight @ v)
    if terms.min() > 1e-8 * terms.max():
        return v
    raise HypothesisError("Some support vector has no weight in w^, and 1/log t has no finite constant. Move a point.")


def flow_errors(inputs: ArrayLike, labels: ArrayLike, log_times: ArrayLike) -> Floats:
    """Return the errors of the direction w(t)/|w(t)| of the gradient flow of sum_i log(1 + exp(-y_i w . x_i)) from 0.

    With s = log(1 + t) and v = w - s w^, v' = sum_i z_i exp(s - m_i)/(1 + exp(-m_i)) - w^ for m_i = z_i . w, which
    stays bounded, so that log t may be as large as 1000.

    Args:
        inputs: (n, d).
        labels: (n,) of 1 and -1.
        log_times: increasing positive numbers s.

    Raises:
        DomainError: the times do not increase, or the largest input is not between 1e-6 and 1e6.
        HypothesisError: the data are not separable.
        PrecisionError: the integration fails.
    """
    from scipy.integrate import solve_ivp

    x, y = classes(inputs, labels)
    z, places = x * y[:, None], np.asarray(log_times, dtype=np.float64)
    if places.ndim != 1 or not places.size or not (np.diff(places, prepend=0) > 0).all() or places[-1] == np.inf:
        raise DomainError(f"The times of shape {places.shape} do not increase from above 0. Sort them.")
    _require_scale(x, 1e6)
    classifier = max_margin(x, y).classifier
    slack = z @ classifier - 1
    slack[np.abs(slack) <= _TIGHT] = 0

    def rate(s: float, v: Floats) -> Floats:
        own = z @ v
        return np.exp(-own - s * slack) / (1 + np.exp(-own - s * (slack + 1))) @ z - classifier

    solved = solve_ivp(
        rate, (0, places[-1]), np.zeros(z.shape[1]), method="LSODA", t_eval=places, rtol=1e-10, atol=1e-12
    )
    if not solved.success:
        raise PrecisionError(f"The flow was not integrated: {solved.message} Scale the inputs, or take earlier times.")
    w = solved.y.T + places[:, None] * classifier
    unit = classifier / np.linalg.norm(classifier)
    return np.linalg.norm(w / np.linalg.norm(w, axis=1, keepdims=True) - unit, axis=1)


def descent_margins(inputs: ArrayLike, labels: ArrayLike, steps: int, *, normalized: bool) -> Floats:
    """Return the margins of the iterates w_1, ..., w_steps of descent from 0; a float, not a bound.

    Args:
        inputs: (n, d).
        labels: (n,) of 1 and -1.
        steps: at least 1.
        normalized: along the gradient of the exponential loss divided by the loss, with steps 1/max |x_i|^2; or along
            the gradient of the logistic loss, with steps 4/s_1^2, one over the Lipschitz constant of the gradient.

    Raises:
        DomainError: no steps, all inputs are 0, or the sample is unusable.
        HypothesisError: all points are of one class.
    """
    x, y = classes(inputs, labels)
    scale = float(np.abs(x).max())
    if steps < 1 or scale == 0:
        raise DomainError("There are no steps, or all inputs are 0 and nothing moves. Give others.")
    # With these steps w is inversely proportional to the inputs.
    z = x / scale * y[:, None]
    step = 1 / float((z**2).sum(axis=1).max()) if normalized else 4 / float(np.linalg.norm(z, 2)) ** 2
    w, margins = np.zeros(z.shape[1]), np.empty(steps)
    for number in range(steps):
        own = z @ w
        if normalized:
            pull = np.exp(own.min() - own)
            pull /= pull.sum()
        else:
            pull = 1 / (1 + np.exp(np.minimum(own, 700.0)))
        w = w + step * (pull @ z)
        margins[number] = (z @ w).min() / (np.linalg.norm(w) or 1.0)
    return scale * margins


def classes(inputs: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return the sample as float64.

    Raises:
        DomainError: shapes that do not fit, a number that is not finite, or a label that is not 1 or -1.
        HypothesisError: all points are of one class.
    """
    x, y = _sample(inputs, labels)
    if not (np.abs(y) == 1).all():
        raise DomainError("A label is not 1 or -1. Give these two.")
    if (y == y[0]).all():
        raise HypothesisError(f"All {len(y)} points are of the class {y[0]:+.0f}, and nothing separates. Add others.")
    return x, y


def _sample(inputs: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    x, y = frozen_floats(inputs, "inputs"), frozen_floats(labels, "labels")
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise DomainError(f"Inputs {x.shape} and labels {y.shape} do not fit. Give (n, d) and (n,).")
    return x, y


def _require_scale(x: Floats, largest: float) -> None:
    if not 1 / largest <= np.abs(x).max() <= largest:
        raise DomainError(f"The largest input is not between {1 / largest:.0e} and {largest:.0e}. Scale the inputs.")
