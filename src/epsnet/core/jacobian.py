r"""The slopes of a network on a box, rigorous in float64: what its Lipschitz constants follow from.

For two points x and x' of a box every activation turns the difference of its arguments into a difference of values by
a slope that lies in its range on the box (`slopes`). Hence

$$ \Phi(x) - \Phi(x') = S\,(x - x'), \qquad
   S \in \mathcal S = \Bigl\{\text{the Jacobian with every } \sigma'_{l,i} \text{ replaced by some }
   s_{l,i} \in [a_{l,i}, b_{l,i}]\Bigr\}, $$

and sup ||S|| over $\mathcal S$ in an operator norm is a Lipschitz constant in that norm. With a whole line for every
argument it is one on all of R^d.

Three steps, each with outward rounding and without a choice that could do more than widen the result:

* `arguments`: the range of the argument of every activation. An interval [l, u] and an affine form v + g . t + e,
  |e| <= r, |t| <= rho, go through the layers side by side and are intersected; an activation turns the form into
  lambda times it, plus what is left of sigma(z) - lambda z.
* `slopes`: the ranges [a, b] by `core.slopes`.
* `interval_jacobian`: matrices P <= S <= Q, entry by entry, from the outputs back to the input.

**Rounding.** All matrix products are taken as midpoint and radius. With u = 2^-53 and N terms in a row,
|fl(A m) - A m| <= gamma_N |A||m| in any order of summation (Higham 2002, section 3.1); the radius |A| r + gamma |A||m|
is a sum of nonnegative terms, whose own rounding is paid for by the factor 1 + 2^-30 (N <= 2^20) and whose underflow by
2^-1000. What underflow takes off the slopes of a form is multiplied by the radii of the box, which may be 1e300, and is
counted apart. Rational weights are rounded to float64, one more rounding of each product.

References: R. E. Moore, Interval Analysis, Prentice-Hall 1966; T.-W. Weng et al., Towards fast computation of certified
robustness for ReLU networks, ICML 2018 (Fast-Lip); N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., SIAM 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import gamma, round_down, round_up
from epsnet.core.linear_maps import Convolution, Dense, LinearMap
from epsnet.core.network import Layer, Network
from epsnet.core.slopes import slope_ranges, value_ranges

Array = NDArray[np.float64]
Interval = tuple[Array, Array]

INFLATE = 1.0 + 2.0**-30
"""Pays for the rounding of a sum of at most `MAX_TERMS` nonnegative products."""
ETA = 2.0**-1000
"""Pays for its underflow."""
MAX_TERMS = 2**20
SMALLEST = Fraction(1, 2**900)
"""A rational weight below this would lose digits when rounded to float64."""
_LOST = 2.0**-1050  # what underflow takes off a slope; the radius of a box may be 1e300
_FORM_WORK = 2**31  # multiply-adds above which the affine forms are left out
_MAX_NUMBERS = 2**27  # numbers in all forms, or in one Jacobian; 1 GiB
_BLOCK = 2**24  # numbers in a block of rows


def gain(layer: Layer) -> float:
    """Return c with |fl(sum A y + b) - (sum A y + b)| <= c (sum |A||y| + |b|); DomainError beyond the analysis."""
    terms = sum(linear.shape[1] for _, linear in layer.terms) + 2 * len(layer.terms) + 2
    if max(terms, layer.outputs) > MAX_TERMS:
        raise DomainError(
            f"A layer has {max(terms, layer.outputs):,} inputs or outputs, more than {MAX_TERMS:,}. Use smaller layers."
        )
    rational = [] if not isinstance(layer.bias, tuple) else list(layer.bias)
    for _, linear in layer.terms:
        if not isinstance(linear, Dense | Convolution):
            rational += [value for value in linear.entries()[2] if isinstance(value, Fraction)]
    if any(value and not SMALLEST <= abs(value) <= 1 / SMALLEST for value in rational):
        raise DomainError("A rational weight lies beyond the safe range of float64. Scale the network.")
    return round_up(gamma(terms))


@dataclass(frozen=True, slots=True)
class _Form:
    """The functions v + g . t + e with |t_i| <= rho_i and |e| <= r: v, r of shape (n,), g of shape (d, n)."""

    value: Array
    slopes: Array
    error: Array
    radius: Array

    @property
    def spread(self) -> Array:
        """Upper bounds of |g . t|, (n,)."""
        return (self.radius @ np.abs(self.slopes)) * INFLATE + ETA

    @property
    def underflow(self) -> float:
        """An upper bound of |e . t|, with e what up to 2 `MAX_TERMS` products in each slope lose by underflow."""
        return _LOST * float(self.radius.sum()) * INFLATE + ETA


def _apply(linear: LinearMap, rows: Array, transposed: bool = False) -> Array:
    """Return the products of a map, or its transpose, with many vectors, in blocks that fit into memory."""
    product = linear.transpose_apply if transposed else linear.apply
    size = max(1, _BLOCK // max(linear.shape))
    return np.concatenate([product(rows[i : i + size]) for i in range(0, len(rows), size)])


def arguments(network: Network, box: Box) -> list[Interval]:
    """Enclose the arguments of all activations on a box: for each layer (lower, upper) of shape (neurons,).

    Where nothing is known, because a number overflows, an end is infinite.

    Raises:
        DomainError: the box has another dimension than the input, or a layer is beyond the rounding analysis.
    """
    if box.dimension != network.inputs:
        raise DomainError(
            f"The box has dimension {box.dimension}, the input {network.inputs}. Give one interval for each input."
        )
    low = np.array([round_down(end) for end in box.lower])
    high = np.array([round_up(end) for end in box.upper])
    center = low / 2 + high / 2
    radius = np.maximum(np.nextafter(high - center, np.inf), np.nextafter(center - low, np.inf))
    neurons = network.inputs + sum(layer.outputs for layer in network.layers)
    small = network.inputs * neurons <= _MAX_NUMBERS
    with_forms = small and network.size.connections * network.inputs <= _FORM_WORK
    forms = [_Form(center, np.eye(network.inputs), np.zeros(network.inputs), radius)] if with_forms else []
    values: list[Interval] = [(low, high)]
    result = []
    with np.errstate(all="ignore"):
        for layer in network.layers:
            lower, upper = _interval_argument(layer, values)
            if with_forms:
                form = _form_argument(layer, forms)
                reach = (form.spread + form.error) * INFLATE
                lower = np.fmax(lower, np.nextafter(form.value - reach, -np.inf))
                upper = np.fmin(upper, np.nextafter(form.value + reach, np.inf))
                forms.append(_form_value(layer, form, lower, upper))
            result.append((lower, upper))
            values.append(value_ranges(layer, lower, upper))
    return result


def _bias(layer: Layer) -> Array:
    return np.array([float(value) for value in layer.bias_values()])


def _interval_argument(layer: Layer, values: Sequence[Interval]) -> Interval:
    bias = _bias(layer)
    middle, spread, size = bias, np.zeros_like(bias), np.abs(bias)
    for source, linear in layer.terms:
        low, high = values[source]
        center = low / 2 + high / 2
        radius = np.nextafter(np.maximum(high - center, center - low), np.inf)
        middle = middle + linear.apply(center[None])[0]
        around = linear.absolute().apply(np.stack((radius, np.abs(center))))
        spread, size = spread + around[0], size + around[1]
    reach = (spread + gain(layer) * size) * INFLATE + ETA
    low, high = np.nextafter(middle - reach, -np.inf), np.nextafter(middle + reach, np.inf)
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def _form_argument(layer: Layer, forms: Sequence[_Form]) -> _Form:
    bias = _bias(layer)
    value, slopes, error, size = bias, np.zeros(1), np.zeros_like(bias), np.abs(bias)
    for source, linear in layer.terms:
        form = forms[source]
        value = value + linear.apply(form.value[None])[0]
        slopes = slopes + _apply(linear, form.slopes)
        around = linear.absolute().apply(np.stack((form.error, np.abs(form.value) + form.spread)))
        error, size = error + around[0], size + around[1]
    lost = forms[0].underflow
    return _Form(value, slopes, (error + gain(layer) * size) * INFLATE + lost, forms[0].radius)


def _form_value(layer: Layer, form: _Form, lower: Array, upper: Array) -> _Form:
    """Return lambda z + mu +- delta, which contains sigma(z) for z in [lower, upper]."""
    least, greatest = slope_ranges(layer, lower, upper)
    kinked = np.array([function.slopes is not None for function in layer.functions()])
    chord = np.where(upper > lower, (greatest * upper - least * lower) / (upper - lower), least)
    chord = np.clip(np.where(np.isfinite(chord), chord, least), least, greatest)
    # a convex kink at 0 lies above lambda z and touches it there
    gap = np.maximum((least - chord) * lower, (greatest - chord) * upper)
    gap = np.where(least == greatest, 0.0, gap)
    # a smooth function leaves the line through (c, sigma(c)) by at most (b - a) / 2 |z - c|
    slope = np.where(kinked, chord, least / 2 + greatest / 2)
    center = lower / 2 + upper / 2
    at_center = value_ranges(layer, center, center)
    bent = (greatest - least) / 2 * np.maximum(upper - center, center - lower) + (at_center[1] - at_center[0])
    middle = np.where(kinked, gap / 2, at_center[0] / 2 + at_center[1] / 2 - slope * center)
    delta = np.where(kinked, gap / 2, bent)
    size = (
        (np.abs(slope) + ETA) * (np.abs(form.value) + form.spread + form.error + np.abs(center))
        + np.abs(middle)
        + np.abs(delta)
    )
    error = (np.abs(slope) * form.error + delta + 2.0**-48 * size) * INFLATE + form.underflow
    value, known = slope * form.value + middle, np.isfinite(size + error)
    return _Form(
        np.where(known, value, 0.0), np.where(known, slope * form.slopes, 0.0), np.where(known, error, np.inf),
        form.radius,
    )  # fmt: skip


def slopes(network: Network, box: Box | None) -> list[Interval]:
    """Enclose the slopes of all activations on a box, or on R^d for None: for each layer (least, greatest)."""
    if box is None:
        line = [(np.full(layer.outputs, -np.inf), np.full(layer.outputs, np.inf)) for layer in network.layers]
    else:
        line = arguments(network, box)
    return [slope_ranges(layer, *ends) for layer, ends in zip(network.layers, line, strict=True)]


def interval_jacobian(network: Network, ranges: Sequence[Interval]) -> Interval:
    """Enclose the matrix S of the module: (P, Q) of shape (outputs, inputs) with P <= S <= Q.

    Args:
        network: Phi: R^d -> R^m.
        ranges: the slopes of its activations, as `slopes` gives them.

    Raises:
        DomainError: a matrix from the values of a layer to the outputs is too large.
    """
    widest = max(network.inputs, *(layer.outputs for layer in network.layers))
    if network.outputs * widest > _MAX_NUMBERS:
        raise DomainError(
            f"The Jacobian has {network.outputs:,} x {widest:,} numbers. Use a network with fewer outputs."
        )
    one = np.eye(network.outputs)
    pending = {len(network.layers): (one, np.zeros_like(one))}
    with np.errstate(all="ignore"):
        for number in range(len(network.layers), 0, -1):
            if number not in pending:
                continue
            layer, (least, greatest) = network.layers[number - 1], ranges[number - 1]
            middle, radius = pending.pop(number)
            ends = [end * slope for end in (middle - radius, middle + radius) for slope in (least, greatest)]
            low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
            middle = low / 2 + high / 2
            # the ends were rounded twice and have the radius as a part
            radius = (np.maximum(high - middle, middle - low) + 2.0**-50 * (np.abs(low) + np.abs(high))) * INFLATE + ETA
            error = round_up(gamma(layer.outputs + len(layer.terms) + 4))
            gain(layer)
            for source, linear in layer.terms:
                own = linear.transpose_apply(middle)
                around = linear.absolute().transpose_apply(radius + error * np.abs(middle)) * INFLATE + ETA
                if source in pending:
                    own, around = own + pending[source][0], around + pending[source][1]
                    around = (around + 2.0**-52 * np.abs(own)) * INFLATE
                pending[source] = own, around
        if 0 not in pending:  # nothing reads the input
            return np.zeros((network.outputs, network.inputs)), np.zeros((network.outputs, network.inputs))
        middle, radius = pending[0]
        return np.nextafter(middle - radius, -np.inf), np.nextafter(middle + radius, np.inf)


def jacobian_norm(network: Network, ranges: Sequence[Interval], norm: str) -> float:
    r"""Bound ||S|| over all S of the module, rounded up: a Lipschitz constant.

    With M = max(|P|, |Q|): the largest row sum of M in the sup norm; in the Euclidean norm
    ||S|| <= || |S| || <= ||M M^T||_\infty^{1/2}.

    Args:
        network: Phi.
        ranges: the slopes of its activations.
        norm: "sup" or "L2".
    """
    low, high = interval_jacobian(network, ranges)
    size = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if norm == "sup":
            value = float((size.sum(axis=1) * INFLATE).max())
        else:
            value = float(np.sqrt(((size @ (size.T @ np.ones(len(size)))) * INFLATE**2 + ETA).max()) * INFLATE)
    return value if value >= 0 else float("inf")
