r"""The landscape of deep linear networks, completely: all critical values, all saddles, with proof.

f(W_1, ..., W_L) = |W_L ... W_1 X - Y|^2/2 with X (d, n), Y (m, n) and least width p of all layers, input and output.

**Theorem** (Kawaguchi 2016; Baldi and Hornik 1989 for L = 2). Let X X^T and X Y^T have full rank, m <= d, and let
S = Y X^T (X X^T)^(-1) X Y^T have m distinct eigenvalues lambda_i. Then every local minimum is global, every other
critical point is a saddle, and the critical values are those of

$$ \tfrac12 \Bigl(|Y|^2 - \sum_{i \in I} \lambda_i\Bigr), \quad |I| \le p; $$

the global minimum takes the p largest. If W_(L-1) ... W_2 has rank p, the Hessian at a saddle has a negative
eigenvalue. With three layers or more there are saddles without one, such as all W_l = 0: their Hessian alone does not
tell them from minima, but their value does. `classify` tells all of them apart by ranks (E. M. Achour, F. Malgouyres,
S. Gerchinovitz).

The hypotheses are checked exactly, for the float64 numbers of X and Y as rationals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from flint import arb, fmpq_mat
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError, HypothesisError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.checker.rules import deep_linear as rule
from epsnet.core.deep_linear import Matrix, as_fraction, gradient, hessian, loss, rational
from epsnet.core.inertia import MAX_SIZE, Inertia, exact_inertia
from epsnet.core.linear_maps import frozen_floats
from epsnet.core.network import Network

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CriticalValue:
    """One value of f at critical points.

    Attributes:
        chosen: I, the eigenvalues of S that are fitted, 0 being the largest.
        low, high: float64 numbers that enclose the value, rigorously.
    """

    chosen: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CriticalPoint:
    """What a critical point is, and the eigenvectors of S that it fits. ESTIMATED.

    Attributes:
        kind: "global minimum", "strict saddle" or "non-strict saddle".
        chosen: I, 0 being the largest eigenvalue.
    """

    kind: str
    chosen: tuple[int, ...]


def critical_values(x: ArrayLike, y: ArrayLike, width: int) -> list[CriticalValue]:
    """Return all critical values of deep linear networks of least width `width`, the global minimum first.

    Args:
        x: inputs X, (d, n), one example in each column.
        y: outputs Y, (m, n).
        width: p, the least width of all layers; more than m counts as m.

    Raises:
        HypothesisError: X X^T is singular, X Y^T has less than full rank, m > d, or S has a multiple eigenvalue.
        DomainError: the shapes do not fit, or a number is not finite.
    """
    inputs, outputs = _sample(x, y)
    if width < 0:
        raise DomainError(f"The width {width} is negative. Give at least 0.")
    with ball_arithmetic():
        eigenvalues = _eigenvalues(inputs, outputs)
        square = ball(as_fraction(np.sum(rational(outputs) ** 2)))
        found = []
        for size in range(min(width, len(eigenvalues)) + 1):
            for chosen in combinations(range(len(eigenvalues)), size):
                value = (square - sum((eigenvalues[i] for i in chosen), arb(0))) / 2
                found.append(CriticalValue(chosen, round_down(value), round_up(value)))
    return sorted(found, key=lambda value: (value.low, value.chosen))


def _sample(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    inputs, outputs = frozen_floats(x, "inputs X"), frozen_floats(y, "outputs Y")
    matrices = inputs.ndim == outputs.ndim == 2 and inputs.size and outputs.size
    if not matrices or inputs.shape[1] != outputs.shape[1]:
        raise DomainError(f"X and Y have shapes {inputs.shape} and {outputs.shape}. Give (d, n) and (m, n).")
    return inputs, outputs


def _require_chain(shapes: Sequence[tuple[int, ...]], x: Floats, y: Floats) -> None:
    """DomainError if matrices of these shapes do not multiply to one that maps the inputs to the outputs."""
    chain = [len(x), *(shape[0] if len(shape) == 2 and min(shape) > 0 else -1 for shape in shapes)]
    fits = [shape[-1:] for shape in shapes] == [(width,) for width in chain[:-1]] and chain[-1] == len(y)
    if not shapes or not fits:
        raise DomainError(
            f"Matrices of the shapes {list(shapes)} do not map {len(x)} inputs to {len(y)} outputs. Give such that do."
        )


def _exact(values: Floats) -> fmpq_mat:
    return fmpq_mat(rational(values).tolist())


def _moment(x: Floats) -> fmpq_mat:
    """Return X X^T in rationals. HypothesisError if it is singular."""
    inputs = _exact(x)
    moment = inputs * inputs.transpose()
    if moment.rank() < len(x):
        raise HypothesisError("X X^T is singular. Add examples or leave out inputs that depend on others.")
    return moment


def _eigenvalues(x: Floats, y: Floats) -> list[arb]:
    """Return balls around the eigenvalues of S, the largest first; check the hypotheses in rationals."""
    if len(y) > len(x):
        raise HypothesisError(
            f"The theorem needs m <= d, here are m = {len(y)} outputs and d = {len(x)} inputs. Swap them."
        )
    moment, mixed = _moment(x), _exact(x) * _exact(y).transpose()
    if mixed.rank() < len(y):
        raise HypothesisError(
            "X Y^T has less than full rank. Leave out outputs that the inputs do not explain linearly."
        )
    polynomial = (mixed.transpose() * moment.inv() * mixed).charpoly()
    if polynomial.gcd(polynomial.derivative()).degree() > 0:
        raise HypothesisError("S has a multiple eigenvalue. Perturb the outputs, or leave one of two out.")
    found: Any = polynomial.complex_roots()
    return sorted((root.real for root, _ in found), key=lambda root: -float(root.mid()))


def _directions(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Return the eigenvectors U of S as columns, the largest eigenvalue first, and Y X^T (X X^T)^(-1), in float64."""
    inputs, outputs = _sample(x, y)
    _moment(inputs)
    scale, height = float(np.abs(inputs).max()), float(np.abs(outputs).max()) or 1.0
    inputs, outputs = inputs / scale, outputs / height
    linear = np.linalg.lstsq(inputs.T, outputs.T)[0].T
    s = linear @ inputs @ outputs.T
    return np.asarray(np.linalg.eigh((s + s.T) / 2)[1][:, ::-1]), np.asarray(
        linear * (height / scale), dtype=np.float64
    )


def critical_point(x: ArrayLike, y: ArrayLike, widths: Sequence[int], chosen: Iterable[int]) -> list[Floats]:
    """Return matrices W_1, ..., W_L at which f is critical and fits the eigenvectors `chosen` of S; in float64.

    With the chosen eigenvectors U_I as columns, W_1 = [U_I^T Y X^T (X X^T)^(-1); 0], W_L = [U_I, 0] and the layers
    between hand the first |I| coordinates on: W_L ... W_1 = U_I U_I^T Y X^T (X X^T)^(-1).

    Args:
        x: inputs, (d, n).
        y: outputs, (m, n).
        widths: d, the hidden widths, m; at least one hidden layer.
        chosen: I, 0 being the largest eigenvalue; at most as many as the least width.

    Raises:
        DomainError: the widths or the choice do not fit.
        HypothesisError: X X^T is singular.
    """
    directions, linear = _directions(x, y)
    kept = sorted(set(chosen))
    fits = len(widths) > 2 and (widths[0], widths[-1]) == (linear.shape[1], linear.shape[0])
    if not fits or len(kept) > min(widths) or any(not 0 <= i < linear.shape[0] for i in kept):
        raise DomainError(
            f"Widths {list(widths)} and eigenvectors {kept} do not fit. Choose no more than the least width."
        )
    u = directions[:, kept]
    weights = [np.eye(after, before) * (np.arange(after) < len(kept))[:, None] for before, after in pairwise(widths)]
    weights[0][: len(kept)] = u.T @ linear
    weights[0][len(kept) :] = 0
    weights[-1] = np.hstack([u, np.zeros((len(u), widths[-2] - len(kept)))])
    return weights


def classify(weights: Sequence[ArrayLike], x: ArrayLike, y: ArrayLike, *, tolerance: float = 1e-6) -> CriticalPoint:
    """Tell minima, strict and non-strict saddles apart by ranks, where the eigenvalues of the Hessian cannot.

    Under the hypotheses of the module let W = W_L ... W_1 fit the eigenvectors I, r = |I|. If I are the p largest, f
    has a global minimum; if they are not the r largest, a strict saddle, whose Hessian has a negative eigenvalue.
    Otherwise it is a non-strict saddle, with none, if for each pair i > j of layers one of W_L ... W_(i+1), W_(i-1) ...
    W_(j+1) and W_(j-1) ... W_1 has rank r (the identity for no layers), and a strict one if not. Ranks are decided in
    float64, so the answer is ESTIMATED.

    Args:
        weights: W_1, ..., W_L, two at least.
        x: inputs, (d, n).
        y: outputs, (m, n).
        tolerance: singular values up to this part of the largest count as 0, and so do deviations of this relative size
            of W from a critical point.

    Raises:
        HypothesisError: as in `critical_values`.
        DomainError: fewer than two layers, or the point is not critical.

    Source: E. M. Achour, F. Malgouyres, S. Gerchinovitz, The loss landscape of deep linear neural networks: a
    second-order analysis, JMLR 25 (2024).
    """
    inputs, outputs = _sample(x, y)
    with ball_arithmetic():
        _eigenvalues(inputs, outputs)
    layers = [np.asarray(w, dtype=np.float64) for w in weights]
    _require_chain([w.shape for w in layers], inputs, outputs)
    if len(layers) < 2:
        raise DomainError("One layer is a convex problem. Give two at least.")
    directions, linear = _directions(inputs, outputs)
    full = directions.T @ linear
    shares = np.sum((directions.T @ _chain(layers, len(inputs))) * full, axis=1) / np.sum(full**2, axis=1)
    chosen = tuple(np.flatnonzero(shares > 0.5).tolist())
    kept = directions[:, chosen]
    off = np.abs(_chain(layers, len(inputs)) - kept @ (kept.T @ linear)).max()
    slope = np.abs(gradient(layers, inputs, outputs)).max()
    scale = np.linalg.norm(linear) * max(1.0, np.linalg.norm(inputs) ** 2) * max(1.0, *map(np.linalg.norm, layers))
    if off > tolerance * np.linalg.norm(linear) or slope > tolerance * scale:
        raise DomainError("The gradient does not vanish here. Give a critical point.")
    r, widths = len(chosen), [len(inputs), *map(len, layers)]
    if chosen == tuple(range(min(widths))):
        return CriticalPoint("global minimum", chosen)

    def rank(first: int, after: int) -> int:
        part = _chain(layers[first:after], widths[first])
        return int(np.linalg.matrix_rank(part, rtol=tolerance)) if np.abs(part).max() > tolerance else 0

    top, count = chosen == tuple(range(r)), len(layers)
    tight = all(
        r in (rank(0, j), rank(j + 1, i), rank(i + 1, count)) for i in range(count) for j in range(i)
    )  # fmt: skip
    return CriticalPoint("non-strict saddle" if top and tight else "strict saddle", chosen)


def _chain(weights: Sequence[Floats], width: int) -> Floats:
    """Return the product of matrices, the first rightmost, the identity for none."""
    return reduce(lambda product, w: w @ product, weights, np.eye(width))


def inertia(weights: Sequence[ArrayLike], x: ArrayLike, y: ArrayLike) -> Inertia:
    """Return how many eigenvalues of the Hessian of f are negative, zero and positive: exact for the float64 numbers.

    A point that is critical only up to rounding has eigenvalues near 0 of either sign; take weights that are exact.

    Raises:
        DomainError: the shapes do not fit, or a number is not finite.
        PrecisionError: more than 200 weights, or numbers with too many digits.
    """
    inputs, outputs = _sample(x, y)
    try:
        matrices = [rational(w) for w in weights]
    except (TypeError, ValueError, OverflowError):
        raise DomainError("A weight is not a finite number. Give matrices of numbers.") from None
    _require_chain([w.shape for w in matrices], inputs, outputs)
    if sum(w.size for w in matrices) > MAX_SIZE:
        raise PrecisionError(f"There are more than {MAX_SIZE} weights. Use a smaller network for exact arithmetic.")
    return exact_inertia(hessian(matrices, rational(inputs), rational(outputs)).tolist())


def objective(x: ArrayLike, y: ArrayLike, widths: Sequence[int]) -> tuple[Any, Any, Any]:
    """Return f, its gradient and its Hessian as functions of the flat vector of all weights, in float64.

    Raises:
        DomainError: the widths do not fit the sample.
    """
    inputs, outputs = _sample(x, y)
    _require_chain([(after, before) for before, after in pairwise(widths)], inputs, outputs)

    def split(theta: Floats) -> list[Matrix]:
        ends = np.cumsum([a * b for a, b in pairwise(widths)])[:-1]
        parts = np.split(np.asarray(theta, dtype=float), ends)
        return [part.reshape(after, before) for part, (before, after) in zip(parts, pairwise(widths), strict=True)]

    def symmetric(theta: Floats) -> Floats:
        matrix = hessian(split(theta), inputs, outputs)
        return (matrix + matrix.T) / 2

    return (
        lambda theta: float(loss(split(theta), inputs, outputs)),
        lambda theta: gradient(split(theta), inputs, outputs),
        symmetric,
    )


def prove(weights: Sequence[ArrayLike], x: ArrayLike, y: ArrayLike) -> tuple[dict[str, Bound], Network, Certificate]:
    """Prove what the weights, as the float64 numbers they are, have of gradient, value and inertia.

    Args:
        weights: W_1, ..., W_L; 10 matrices and 200 entries at most.
        x: inputs, (d, n).
        y: outputs, (m, n).

    Returns:
        The PROVED bounds by name ("gradient", "loss", "negative", "zero", "positive"), all exact, the network
        they are about and their certificate, for `checker.kernel.check_certificate`.

    Raises:
        CheckError: the network is too large, or a number has too many bits.
        DomainError: the shapes do not fit, a number is not finite, or a value is beyond float64.

    Example:
        >>> bounds, _, _ = prove([[[0.0]], [[0.0]]], [[1.0]], [[1.0]])
        >>> print(bounds["negative"])
        negative eigenvalues of the Hessian == 1   PROVED (deep-linear; exact arithmetic)
    """
    inputs, outputs = _sample(x, y)
    floats = [frozen_floats(w, "weights") for w in weights]
    _require_chain([w.shape for w in floats], inputs, outputs)
    network = Network.from_layers([(w, np.zeros(len(w))) for w in floats], "identity")
    matrices, exact_x, exact_y = rule.matrices(network), rational(inputs), rational(outputs)
    slope = gradient(matrices, exact_x, exact_y)
    found = exact_inertia(hessian(matrices, exact_x, exact_y).tolist())
    witness = {"inputs": inputs.T.ravel(), "outputs": outputs.T.ravel()}
    values = {
        "gradient": (rule.GRADIENT, as_fraction(slope @ slope)),
        "loss": (rule.LOSS, as_fraction(loss(matrices, exact_x, exact_y))),
        **{name: (text, Fraction(n)) for name, text, n in zip(Inertia._fields, rule.INERTIA, found, strict=True)},
    }
    if max(value for _, value in values.values()) > np.finfo(float).max:
        raise DomainError("The squared gradient or the loss is beyond float64. Scale the sample.")
    bounds = {
        name: Bound(
            quantity=quantity, sense="==" if Fraction(round_up(value)) == value else "<=", value=round_up(value),
            exact=value, kind=Kind.PROVED, theorem="deep-linear", rule="deep_linear",
            measure=rule.measure(witness["inputs"], witness["outputs"]), network=network.sha256,
            hypotheses=(f"{len(weights)} linear layers without biases", f"{inputs.shape[1]} examples"),
        )
        for name, (quantity, value) in values.items()
    }  # fmt: skip
    certificate = Certificate.of(bounds.values(), [(bound, witness) for bound in bounds.values()])
    return bounds, network, certificate


def rational_sample() -> tuple[Floats, Floats]:
    """Return X and Y, both (4, 4), for which S has the eigenvalues 16, 9, 4, 1 and dyadic eigenvectors.

    X = I and Y = U diag(4, 3, 2, 1) U^T with the orthogonal U = H/2, H the Hadamard matrix of order 4; so the points of
    `rational_critical_points` are critical exactly.
    """
    u = _hadamard()
    return np.eye(4), u @ np.diag([4.0, 3.0, 2.0, 1.0]) @ u.T


def rational_critical_points(widths: Sequence[int]) -> Iterator[tuple[tuple[int, ...], list[Floats]]]:
    """Yield (I, weights) for all sets I of eigenvectors of `rational_sample` that fit the widths, critical exactly.

    Raises:
        DomainError: the widths do not begin and end with 4, or have no hidden layer.
    """
    if len(widths) < 3 or widths[0] != 4 or widths[-1] != 4:
        raise DomainError(
            f"The sample has 4 inputs and 4 outputs, the widths are {list(widths)}. Begin and end with 4."
        )
    u, y = _hadamard(), rational_sample()[1]
    for size in range(min(widths) + 1):
        for kept in combinations(range(4), size):
            weights = [np.eye(after, before) * (np.arange(after) < size)[:, None] for before, after in pairwise(widths)]
            weights[0] = np.vstack([u[:, kept].T @ y, np.zeros((widths[1] - size, 4))])
            weights[-1] = np.hstack([u[:, kept], np.zeros((4, widths[-2] - size))])
            yield kept, weights


def _hadamard() -> Floats:
    pair = np.array([[1.0, 1.0], [1.0, -1.0]])
    return np.kron(pair, pair) / 2
