"""The self-check: a dozen statements, each proved here and now, each a place where an installation can break."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from epsnet.approximation.piecewise_linear import piecewise_linear
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.checker.kernel import check
from epsnet.core.calculus import compose
from epsnet.core.linear_maps import Convolution
from epsnet.core.network import Network
from epsnet.core.realize import realize, realize_exact
from epsnet.core.serial import NETWORK_FILE, load_network, load_solution, network_bytes, save_network, save_solution
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.statistics.binomial import clopper_pearson


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement of the self-check: whether it holds here, how long that took, and what went wrong if not."""

    statement: str
    holds: bool
    seconds: float
    detail: str


def examine() -> Iterator[Finding]:
    """Prove the statements one after the other; none of them stops the others."""
    for statement, proof in _STATEMENTS.items():
        start = time.perf_counter()
        try:
            holds, detail = bool(proof()), ""
        except Exception as error:  # a broken installation may fail in any way; the reader wants all findings
            holds, detail = False, f"{type(error).__name__}: {error}"
        yield Finding(statement, holds, time.perf_counter() - start, detail)


def _hat() -> Network:
    return Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])


def _solution(formula: str = "exp(x)", eps: str = "1e-3") -> Solution:
    target = Target(formula, Box(0, 1))
    found = piecewise_linear(target, Fraction(eps))
    certificate = Certificate.of((found.error, found.pieces, found.minimal), found.witnesses)
    return Solution(
        found.network, target, found.error, 8 * len(network_bytes(found.network)), certificate, found.minimal
    )


def _rejected(action: Callable[[], object], error: type[Exception] = CheckError) -> bool:
    try:
        action()
    except error:
        return True
    return False


def _hat_is_exact() -> bool:
    points = [Fraction(k, 101) for k in range(102)]
    return all(realize_exact(_hat(), [x]) == (min(2 * x, 2 - 2 * x),) for x in points)


def _sawtooth_folds() -> bool:
    sawtooth = compose(_hat(), compose(_hat(), _hat()))
    values = [realize_exact(sawtooth, [Fraction(k, 8)])[0] for k in range(9)]
    return values == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def _exp_needs_eleven() -> bool:
    solution = _solution()
    check(solution)
    return solution.optimality is not None and solution.optimality.value == 11.0 and solution.size.weights <= 34


def _sqrt_needs_sixteen() -> bool:
    solution = _solution("sqrt(x)")
    check(solution)
    return solution.optimality is not None and solution.optimality.value == 16.0


def _relabelled(solution: Solution, **change: object) -> Solution:
    """Change the cover's claim and rebuild everything that depends on it."""
    cover, rounding = solution.error.premises
    forged = replace(cover, **change)  # type: ignore[arg-type]
    error = replace(solution.error, value=forged.value + 2 * rounding.value, exact=None, premises=(forged, rounding))
    witnesses = solution.certificate.witnesses
    tree = next(witnesses[node.witness] for node in solution.certificate.nodes if node.claim == cover and node.witness)
    return replace(solution, error=error, optimality=None, certificate=Certificate.of((error,), ((forged, tree),)))


def _small_claim_is_rejected() -> bool:
    return _rejected(lambda: check(_relabelled(_solution(), value=0.0009)))


def _changed(network: Network) -> Network:
    hidden, output = network.layers
    weight = np.array(output.terms[0][1].weight)  # type: ignore[attr-defined]
    weight[0, 3] *= 1.001
    return Network.from_layers([(hidden.terms[0][1], hidden.bias), (weight, output.bias)])


def _changed_weight_is_noticed() -> bool:
    solution = _solution()
    return _rejected(lambda: check(replace(solution, network=_changed(solution.network))))


def _zero_errors_in_a_hundred() -> bool:
    value = clopper_pearson(0, 100, Fraction(1, 100))
    with ball_arithmetic():
        root = 1 - ball(Fraction(1, 100)).root(100)
        return abs(ball(value) - root) < 1e-15 and bool(ball(value) >= root.lower())


def _convolution_is_its_matrix() -> bool:
    kernel = np.arange(18.0).reshape(1, 2, 3, 3)
    convolution, image = Convolution(kernel, (2, 5, 5), stride=2, padding=1), np.arange(50.0)[None]
    matrix = np.zeros(convolution.shape)
    rows, columns, values = convolution.entries()
    matrix[rows, columns] = values
    return np.array_equal(convolution.apply(image), image @ matrix.T)


def _files_round_trip() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        solution = _solution()
        save_solution(solution, folder)
        check(folder)
        return load_solution(folder).network.sha256 == solution.network.sha256


def _flipped_byte_is_noticed() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NETWORK_FILE
        save_network(_hat(), path)
        content = bytearray(path.read_bytes())
        content[-4] ^= 1
        path.write_bytes(bytes(content))
        try:
            return load_network(path).sha256 != _hat().sha256
        except (CheckError, DomainError):
            return True


def _pole_is_refused() -> bool:
    return _rejected(lambda: Target("1/x", Box(-1, 1)), DomainError)


def _jax_agrees() -> bool:
    from epsnet import diff

    generator = np.random.Generator(np.random.Philox(0))
    layers = [(generator.normal(size=(8, 3)), generator.normal(size=8)), (generator.normal(size=(2, 8)), np.zeros(2))]
    x = generator.normal(size=(16, 3))
    with diff.precise():
        values = np.asarray(diff.realize(layers, "relu", x))
    return bool(np.allclose(values, realize(Network.from_layers(layers), x), rtol=1e-12, atol=1e-12))


_STATEMENTS: dict[str, Callable[[], bool]] = {
    "the hat function is a ReLU network, exactly": _hat_is_exact,
    "composing it three times folds [0, 1] into 8 pieces": _sawtooth_folds,
    "exp on [0, 1] within 1e-3 takes 11 linear pieces, verified and minimal": _exp_needs_eleven,
    "sqrt on [0, 1] within 1e-3 takes 16, in spite of the infinite slope": _sqrt_needs_sixteen,
    "a claim below the true error is rejected": _small_claim_is_rejected,
    "a weight changed by 0.1 % is noticed": _changed_weight_is_noticed,
    "0 errors in 100 bound the risk by 1 - 0.01^(1/100) with confidence 0.99": _zero_errors_in_a_hundred,
    "a convolution is the matrix it stands for": _convolution_is_its_matrix,
    "a saved solution is the same after loading, and checks": _files_round_trip,
    "a flipped bit in a network file is noticed": _flipped_byte_is_noticed,
    "1/x on [-1, 1] is refused": _pole_is_refused,
    **({"NumPy and JAX evaluate a network alike": _jax_agrees} if find_spec("jax") else {}),
}
