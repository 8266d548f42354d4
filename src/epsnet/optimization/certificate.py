r"""How far the weights of a two-layer ReLU network are from the global optimum of their training, with a certificate.

For weights from wherever the residual r = y - Phi(X), scaled until $|\sum_i \nu_i \max(x_i \cdot u, 0)| \le \beta$ on
the unit ball, is a feasible point nu of the dual, and $\nu \cdot y - |\nu|^2/2$ bounds the objective of every network
of every width from below. The bound is sharp at the optimum and weak far from it. The direction in which the
constraint is violated most is the neuron whose addition lowers the objective most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import HypothesisError
from epsnet.certify.rounding import ball_arithmetic, round_down, round_up
from epsnet.core import two_layer as trusted
from epsnet.core.network import Network
from epsnet.core.solution import Statements
from epsnet.optimization.dual_oracle import DualOracle
from epsnet.optimization.two_layer import TwoLayerProblem, read_weights, two_layer_network

Floats = NDArray[np.float64]

_SLACKS = (1e-13, 1e-9, 1e-6)
_MARGIN = 2.0**-40
"""How much smaller than proved nu is made, so that another order of summation proves it as well."""


@dataclass(frozen=True, slots=True, eq=False)
class TwoLayerCertificate:
    """Objective of a network, what no network can beat, and the difference.

    Attributes:
        primal: objective <= P of the network.
        dual: objective >= D of every two-layer ReLU network on the data.
        gap: objective minus least objective <= P - D.
        neuron: (d,) the direction u of norm 1 in which the dual constraint of the residual is violated most.
        sign: the sign of the outer weight that this neuron should get, 1 or -1.
        violation: max |sum_i r_i max(x_i . u, 0)| / beta - 1 for the residual r; at most 0 at the optimum. A float.
        statements: the network with the derivation of the three bounds, for `check`.
    """

    primal: Bound
    dual: Bound
    gap: Bound
    neuron: Floats
    sign: int
    violation: float
    statements: Statements

    @property
    def relative_gap(self) -> float:
        """The gap divided by the objective."""
        return relative(self.gap, self.primal)

    def __str__(self) -> str:
        return bracket_text(self.primal, self.dual, self.gap)


def relative(gap: Bound, primal: Bound) -> float:
    """Return the gap divided by the objective, 0 where the objective is."""
    return gap.value / primal.value if primal.value > 0 else 0.0


def bracket_text(primal: Bound, dual: Bound, gap: Bound) -> str:
    """Return what encloses the optimum, in one line."""
    return (
        f"objective {primal.value:.12g} >= optimum >= {dual.value:.12g}, gap {gap.decimal()} "
        f"(relative {relative(gap, primal):.2g})   {gap.kind.value}"
    )


def certify(
    inputs: ArrayLike, labels: ArrayLike, hidden: ArrayLike, outer: ArrayLike, beta: float
) -> TwoLayerCertificate:
    """Bracket the global optimum by the weights of a network, wherever they were trained.

    Args:
        inputs: (n, d), d <= 4; append a column of ones if the network has biases.
        labels: (n,).
        hidden: W (width, d), with the biases as the last column if it has any.
        outer: a (width,).
        beta: the weight decay.

    Returns:
        The certificate. The objective is that of the weights as they are, balanced or not.

    Raises:
        DomainError: NaN, shapes that do not fit, or beta not positive.
        HypothesisError: more than 4 inputs, or too many points for them.
    """
    problem = TwoLayerProblem(inputs, labels, beta)  # pyright: ignore[reportArgumentType]
    network = two_layer_network(*read_weights(hidden, outer, problem.inputs.shape[1]))
    return certify_network(problem, network)


def certify_network(problem: TwoLayerProblem, network: Network) -> TwoLayerCertificate:
    """Bracket the global optimum by a network with one hidden layer.

    Args:
        problem: the data.
        network: as many inputs as the data and no biases, or one input less and hidden biases, where the last column
            of the data is 1.

    Raises:
        DomainError: the network does not fit.
        HypothesisError: more than 4 inputs, or too many points for them.
    """
    hidden, outer = trusted.two_layer_weights(network, problem.inputs)
    residual = problem.labels - problem.outputs(hidden, outer)
    return certificate_of(problem, network, residual, DualOracle(problem.inputs))


def certificate_of(
    problem: TwoLayerProblem, network: Network, direction: Floats, oracle: DualOracle
) -> TwoLayerCertificate:
    """Return the certificate of a network with the best multiple of `direction` (n,) as dual point."""
    primal = objective_bound(problem, network)
    dual, dual_witness = _dual_bound(problem, direction, oracle)
    gap = gap_bound(primal, dual)
    witness = problem_arrays(problem)
    certificate = Certificate.of((gap,), ((primal, witness), (dual, witness | dual_witness)))
    hidden, outer = trusted.two_layer_weights(network, problem.inputs)
    residual = problem.labels - problem.outputs(hidden, outer)
    (plus, first), (minus, second) = oracle.maximum(residual), oracle.maximum(-residual)
    value, neuron, sign = (plus, first, 1) if plus >= minus else (minus, second, -1)
    violation = value / problem.beta - 1
    return TwoLayerCertificate(primal, dual, gap, neuron, sign, violation, Statements(network, certificate))


def problem_arrays(problem: TwoLayerProblem) -> dict[str, NDArray]:
    """Return the problem as arrays of a witness."""
    return {
        "shape": np.array(problem.inputs.shape, dtype=np.int64),
        "inputs": problem.inputs.ravel(),
        "labels": problem.labels,
        "beta": np.array([problem.beta]),
    }


def objective_bound(problem: TwoLayerProblem, network: Network) -> Bound:
    """Return objective <= P of a network, for `problem_arrays` as witness."""
    hidden, outer = trusted.two_layer_weights(network, problem.inputs)
    value = round_up(trusted.objective(problem.inputs, problem.labels, problem.beta, hidden, outer))
    return Bound(
        quantity=trusted.OBJECTIVE + _text(problem), sense="<=", value=value, kind=Kind.VERIFIED,
        theorem="two-layer-objective", rule="two_layer", network=network.sha256,
        hypotheses=(trusted.EVALUATED,),
    )  # fmt: skip


def least_bound(problem: TwoLayerProblem, point: Floats, hypothesis: str, theorem: str = "relu-duality") -> Bound:
    """Return objective >= D(nu) of every network, for a feasible point nu."""
    with ball_arithmetic():
        value = round_down(trusted.dual_value(problem.labels, point)) + 0.0
    return Bound(
        quantity=trusted.LEAST + _text(problem), sense=">=", value=value, kind=Kind.VERIFIED,
        theorem=theorem, rule="two_layer", hypotheses=(hypothesis,),
    )  # fmt: skip


def gap_bound(primal: Bound, dual: Bound) -> Bound:
    """Return objective minus least objective <= P - D."""
    exact = primal.limit - dual.limit
    return Bound(
        quantity=primal.quantity.replace(trusted.OBJECTIVE, trusted.EXCESS, 1), sense="<=", value=round_up(exact),
        exact=exact, kind=Kind.VERIFIED, theorem="duality-gap", rule="two_layer", network=primal.network,
        premises=(primal, dual),
    )  # fmt: skip


def _text(problem: TwoLayerProblem) -> str:
    return trusted.problem_text(problem.inputs, problem.labels, problem.beta)


def _dual_bound(problem: TwoLayerProblem, direction: Floats, oracle: DualOracle) -> tuple[Bound, dict[str, NDArray]]:
    point = np.zeros_like(problem.labels)
    size = float(np.abs(direction).max())
    if size > 0:
        direction = direction / size
        guess = max(oracle.maximum(direction)[0], oracle.maximum(-direction)[0])
        shift = trusted.shift_bound(problem.inputs, oracle.rows, direction)
        bound = _certain_maximum(problem, direction, oracle, max(guess + shift, 1e-100))
        point = problem.dual_point(direction, bound * (1 + _MARGIN))
    hypothesis = trusted.arrangement_hypothesis(oracle.arrangement)
    return least_bound(problem, point, hypothesis), {"rows": oracle.rows.ravel(), "point": point}


def _certain_maximum(problem: TwoLayerProblem, direction: Floats, oracle: DualOracle, guess: float) -> float:
    """Return an upper bound close to the guess; the closer it is, the more faces need balls, perhaps too many."""
    for slack in _SLACKS[:-1]:
        try:
            return _bound(problem, direction, oracle, guess * (1 + slack))
        except HypothesisError:
            continue
    return _bound(problem, direction, oracle, guess * (1 + _SLACKS[-1]))


def _bound(problem: TwoLayerProblem, direction: Floats, oracle: DualOracle, floor: float) -> float:
    return trusted.constraint_bound(oracle.arrangement, problem.inputs, oracle.rows, direction, floor)
