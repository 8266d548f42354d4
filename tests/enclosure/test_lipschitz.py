"""Lipschitz bounds against exact slopes: brute force over all activation patterns and all pieces, in rationals."""

from fractions import Fraction
from itertools import chain, pairwise, product

import numpy as np
import pytest
from flint import arb

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.checker.kernel import check_certificate
from epsnet.core.functions import FUNCTIONS
from epsnet.core.jacobian import arguments, interval_jacobian, jacobian_norm, slopes
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact
from epsnet.core.slopes import slope_ranges, value_ranges
from epsnet.core.splitting import Block, blocks, combine
from epsnet.enclosure.gradients import jacobian_norms, jacobians, sampled_lipschitz
from epsnet.enclosure.lipschitz import lipschitz_bounds, norm_bound, norm_products

COARSE = {"sup": 1e300, "L2": 1e300}  # a goal that is reached without bisection
SMOOTH = ("tanh", "sigmoid", "erf", "softplus", "gelu", "silu", "sin")


def generator(seed):
    return np.random.Generator(np.random.Philox(seed))


def dyadic(random, shape):
    return random.integers(-8, 9, shape) / 4


def relu_network(seed, widths, skip=False):
    """Weights are dyadic, so that everything is exact in rationals."""
    random = generator(seed)
    layers = []
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        terms = [(number - 1, Dense(dyadic(random, (after, before))))]
        if skip and number > 1:
            terms.append((number - 2, Sparse((after, widths[number - 2]), [0], [0], [1.5])))
        last = number == len(widths) - 1
        layers.append(Layer(tuple(terms), dyadic(random, after), ("identity" if last else "relu",)))
    return Network(widths[0], tuple(layers))


def matrix_of(linear):
    """A linear map as rows of rationals."""
    rows = [[Fraction(0)] * linear.shape[1] for _ in range(linear.shape[0])]
    for i, j, value in zip(*linear.entries(), strict=True):
        rows[i][j] = Fraction(value)
    return rows


def times(a, b):
    return [
        [sum((x * y for x, y in zip(row, column, strict=True)), Fraction(0)) for column in zip(*b, strict=True)]
        for row in a
    ]


def exact_jacobian(network, patterns):
    """The Jacobian in rationals if neuron i of hidden layer l has the slope patterns[l][i]."""
    values = [[[Fraction(int(i == j)) for j in range(network.inputs)] for i in range(network.inputs)]]
    for number, layer in enumerate(network.layers):
        total = None
        for source, linear in layer.terms:
            own = times(matrix_of(linear), values[source])
            total = (
                own
                if total is None
                else [[x + y for x, y in zip(p, q, strict=True)] for p, q in zip(total, own, strict=True)]
            )
        slope = patterns[number] if number < len(patterns) else [1] * layer.outputs
        values.append([[s * entry for entry in row] for s, row in zip(slope, total, strict=True)])
    return values[-1]


def sup_norm(matrix):
    return max(sum(map(abs, row), Fraction(0)) for row in matrix)


def at_most(matrix, limit):
    """Whether the spectral norm is <= limit: whether limit^2 I - A A^T >= 0, by elimination in rationals."""
    gram = times(matrix, [list(column) for column in zip(*matrix, strict=True)])
    rest = [[limit**2 * (i == j) - entry for j, entry in enumerate(row)] for i, row in enumerate(gram)]
    while rest:
        pivot = rest[0][0]
        if pivot < 0 or (pivot == 0 and any(rest[0])):
            return False
        rest = [
            [entry - (row[0] * head / pivot if pivot else 0) for entry, head in zip(row[1:], rest[0][1:], strict=True)]
            for row in rest[1:]
        ]
    return True


def pattern_at(network, point):
    """The slopes of the hidden neurons at a rational point."""
    values, patterns = [list(point)], []
    for layer in network.layers:
        z = [Fraction(bias) for bias in layer.bias_values()]
        for source, linear in layer.terms:
            z = [
                a + sum((w * y for w, y in zip(row, values[source], strict=True)), Fraction(0))
                for a, row in zip(z, matrix_of(linear), strict=True)
            ]
        names = [function.name for function in layer.functions()]
        patterns.append([Fraction(int(value > 0 or name == "identity")) for value, name in zip(z, names, strict=True)])
        values.append([s * value for s, value in zip(patterns[-1], z, strict=True)])
    return patterns


def exact_slopes(network, low, high):
    """All slopes of the pieces of a ReLU network of one variable on an interval, in rationals."""
    knots = [Fraction(low), Fraction(high)]
    for depth in range(1, len(network.layers)):
        head = Network(
            1,
            (
                *network.layers[: depth - 1],
                Layer(network.layers[depth - 1].terms, network.layers[depth - 1].bias, ("identity",)),
            ),
        )
        values = [realize_exact(head, [x]) for x in knots]
        more = set(knots)
        for (x, y), (u, v) in zip(
            zip(knots, values, strict=True), zip(knots[1:], values[1:], strict=True), strict=False
        ):
            more |= {x + (u - x) * a / (a - b) for a, b in zip(y, v, strict=True) if a * b < 0}
        knots = sorted(more)
    values = [realize_exact(network, [x]) for x in knots]
    return [
        (b - a) / (u - x)
        for x, u, y, v in zip(knots, knots[1:], values, values[1:], strict=False)
        for a, b in zip(y, v, strict=True)
    ]


SHAPES = [(2, 3, 2), (1, 4, 1), (3, 3, 2), (2, 2, 3, 2), (2, 2, 2, 2, 1)]


@pytest.mark.parametrize("skip", [False, True], ids=["plain", "skip"])
@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_no_pattern_exceeds_the_global_bound(seed, widths, skip):
    network = relu_network(seed, widths, skip)
    found = lipschitz_bounds(network, None, {})
    hidden = widths[1:-1]
    for flat in product((0, 1), repeat=sum(hidden)):
        ends = np.cumsum([0, *hidden])
        jacobian = exact_jacobian(network, [[Fraction(s) for s in flat[a:b]] for a, b in pairwise(ends)])
        assert sup_norm(jacobian) <= found["sup"].bound.limit
        assert at_most(jacobian, found["L2"].bound.limit)


@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_no_point_of_a_box_exceeds_its_bound_and_sampling_stays_below(seed, widths):
    network, random = relu_network(seed, widths, skip=seed == 2), generator(seed)
    center, radius = dyadic(random, widths[0]), 2.0 ** -random.integers(0, 3, widths[0])
    low, high = center - radius, center + radius
    box = Box(low.tolist(), high.tolist())
    points = random.uniform(low, high, (60, widths[0]))
    sampled = sampled_lipschitz(network, low, high, points, seed)
    found = lipschitz_bounds(network, box, sampled)
    for point in points:
        jacobian = exact_jacobian(network, pattern_at(network, [Fraction(x) for x in point.tolist()])[:-1])
        assert sup_norm(jacobian) <= found["sup"].bound.limit
        assert at_most(jacobian, found["L2"].bound.limit)
    for norm, constants in found.items():
        assert constants.bound.kind is Kind.VERIFIED and constants.bound.domain == box
        assert sampled[norm] <= constants.bound.value


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_in_one_dimension_the_bound_is_the_steepest_slope(seed, depth):
    network = relu_network(seed, (1, *[4] * depth, 1))
    truth = max(map(abs, exact_slopes(network, -2, 2)))
    sampled = sampled_lipschitz(network, np.array([-2.0]), np.array([2.0]), np.linspace(-2, 2, 999)[:, None], 0)
    found = lipschitz_bounds(network, Box(-2, 2), sampled)
    for norm, constants in found.items():
        assert sampled[norm] <= float(truth) * (1 + 1e-12) and truth <= constants.bound.limit
        if sampled[norm] == float(truth) > 0 and depth == 1:
            assert constants.bound.value <= float(truth) * 1.02


def test_two_layers_give_the_mean_of_the_norm_of_the_product_and_the_product_of_the_norms():
    """Combettes and Pesquet 2020, example 3.5 in the form for ReLU: (|W2 W1| + |W2||W1|) / 2."""
    random = generator(5)
    first, second = random.normal(size=(30, 20)), random.normal(size=(10, 30))
    network = Network.from_layers([(first, np.zeros(30)), (second, np.zeros(10))])
    norm = [np.linalg.norm(a, 2) for a in (second @ first, second, first)]
    bound = lipschitz_bounds(network, None, {})["L2"].bound
    assert bound.value == pytest.approx((norm[0] + norm[1] * norm[2]) / 2, rel=1e-5)
    assert norm_products(network)["L2"] == pytest.approx(norm[1] * norm[2], rel=1e-6)
    rows = np.abs(first).sum(axis=1).max() * np.abs(second).sum(axis=1).max()
    assert norm_products(network)["sup"] == pytest.approx(rows, rel=1e-12)


def test_an_affine_network_gets_its_own_norms():
    random = generator(6)
    maps = [random.normal(size=shape) for shape in ((7, 5), (6, 7), (4, 6))]
    network = Network.from_layers([(a, random.normal(size=len(a))) for a in maps], activation="identity")
    whole = maps[2] @ maps[1] @ maps[0]
    found = lipschitz_bounds(network, None, {})
    assert found["L2"].bound.value == pytest.approx(np.linalg.norm(whole, 2), rel=1e-5)
    assert found["sup"].bound.value == pytest.approx(np.abs(whole).sum(axis=1).max(), rel=1e-5)


def layered(seed, kind):
    """Networks of every sort of linear map and activation."""
    random = generator(seed)
    if kind == "convolution":
        first = Convolution(random.normal(size=(2, 1, 3, 3)), (1, 4, 4), 1, 1)
        second = Convolution(random.normal(size=(3, 2, 2, 2)), (2, 4, 4), 2, 0)
        skip = Dense(random.normal(size=(12, 16)))
        layers = (
            Layer(((0, first),), random.normal(size=2), ("relu",)),
            Layer(((1, second), (0, skip)), random.normal(size=3), ("leaky_relu(0.125)",)),
            Layer(((2, Dense(random.normal(size=(3, 12)))),), random.normal(size=3), ("identity",)),
        )
        return Network(16, layers)
    if kind == "mixed":
        names = ("relu", "tanh", "abs", "sin", "gelu", "silu", "softplus", "sigmoid", "erf", "identity")
        skip = (0, Dense(random.normal(size=(10, 3))))
        layers = (
            Layer(((0, Dense(random.normal(size=(10, 3)))),), random.normal(size=10), names),
            Layer(((1, Dense(random.normal(size=(10, 10)))), skip), random.normal(size=10), names[::-1]),
            Layer(((2, Dense(random.normal(size=(2, 10)))),), random.normal(size=2), ("tanh",)),
        )
        return Network(3, layers)
    if kind == "rational":
        first = {(i, j): Fraction(int(random.integers(-9, 10)), 7) for i in range(4) for j in range(3)}
        last = {(i, j): Fraction(int(random.integers(-9, 10)), 11) for i in range(2) for j in range(4)}
        bias = tuple(Fraction(int(random.integers(-9, 10)), 13) for _ in range(4))
        layers = (
            Layer(((0, Exact((4, 3), first)),), bias, ("relu",)),
            Layer(((1, Exact((2, 4), last)),), (Fraction(1, 3), Fraction(0)), ("identity",)),
        )
        return Network(3, layers)
    shapes = ((6, 3), (6, 6), (2, 6))
    return Network.from_layers([(random.normal(size=s), random.normal(size=s[0])) for s in shapes], activation=kind)


KINDS = ("convolution", "mixed", "rational", *SMOOTH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_jacobians_lie_in_the_interval_jacobian_and_below_both_bounds(seed, kind):
    network, random = layered(seed, kind), generator(seed)
    center, radius = random.normal(size=network.inputs), 2.0 ** random.uniform(-8, 1, network.inputs)
    box = Box((center - radius).tolist(), (center + radius).tolist())
    points = random.uniform(center - radius, center + radius, (50, network.inputs))
    ranges = slopes(network, box)
    low, high = interval_jacobian(network, ranges)
    matrices = jacobians(network, points)
    slack = 1e-9 * (1 + np.abs(matrices).max())
    assert (low - slack <= matrices).all() and (matrices <= high + slack).all()
    for where in (box, None):
        found = lipschitz_bounds(network, where, COARSE)
        for norm, values in jacobian_norms(network, points).items():
            assert values.max() <= found[norm].bound.value * (1 + 1e-9)
        pairs = realize(network, points)
        for p, q, x, y in zip(pairs[:-1], pairs[1:], points[:-1], points[1:], strict=True):
            assert np.abs(p - q).max() <= found["sup"].bound.value * np.abs(x - y).max() + 1e-9
            assert np.linalg.norm(p - q) <= found["L2"].bound.value * np.linalg.norm(x - y) + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_jacobians_equal_difference_quotients(kind):
    network, random = layered(1, kind), generator(1)
    points, step = random.normal(size=(5, network.inputs)), 1e-6
    for point, matrix in zip(points, jacobians(network, points), strict=True):
        moves = step * np.eye(network.inputs)
        quotients = (realize(network, point + moves) - realize(network, point - moves)).T / (2 * step)
        np.testing.assert_allclose(matrix, quotients, rtol=1e-6, atol=1e-6)


def test_jacobians_equal_those_of_jax():
    jax = pytest.importorskip("jax")
    from epsnet.diff.precision import precise
    from epsnet.diff.realize import realize as realize_jax

    network, points = layered(2, "tanh"), generator(2).normal(size=(4, 3))
    layers = [(layer.terms[0][1].weight, layer.bias) for layer in network.layers]
    with precise():
        for point, matrix in zip(points, jacobians(network, points), strict=True):
            other = jax.jacrev(lambda x: realize_jax(layers, "tanh", x))(point)
            np.testing.assert_allclose(matrix, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_contain_what_occurs(kind):
    for seed in range(3):
        network, random = layered(seed, kind), generator(seed)
        center, radius = random.normal(size=network.inputs), 2.0 ** random.uniform(-9, 1, network.inputs)
        points = random.uniform(center - radius, center + radius, (40, network.inputs))
        found = arguments(network, Box((center - radius).tolist(), (center + radius).tolist()))
        for depth, (low, high) in enumerate(found, start=1):
            last = network.layers[depth - 1]
            head = Network(network.inputs, (*network.layers[: depth - 1], Layer(last.terms, last.bias, ("identity",))))
            z = realize(head, points)
            slack = 1e-12 * (1 + np.abs(z).max())
            assert (low - slack <= z).all() and (z <= high + slack).all()
            assert (low <= high).all()


def test_exact_arguments_lie_inside_with_no_slack_at_all():
    for seed in range(20):
        network, random = relu_network(seed, (3, 5, 5, 2), skip=seed % 2 == 0), generator(seed)
        center = random.normal(size=3)
        radius = 2.0 ** random.uniform(-30, 0, 3)
        points = [
            [Fraction(x) for x in row] for row in random.uniform(center - radius, center + radius, (5, 3)).tolist()
        ]
        found = arguments(network, Box((center - radius).tolist(), (center + radius).tolist()))
        for depth, (low, high) in enumerate(found, start=1):
            last = network.layers[depth - 1]
            head = Network(3, (*network.layers[: depth - 1], Layer(last.terms, last.bias, ("identity",))))
            for point in points:
                z = realize_exact(head, point)
                assert all(
                    Fraction(a) <= v <= Fraction(b) for a, v, b in zip(low.tolist(), z, high.tolist(), strict=True)
                )


@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_and_values_are_tight(name):
    """Compared with ball evaluations on a grid: they lie inside, and the ends are attained nearly."""
    random = generator(8)
    layer = Layer(((0, Dense(np.ones((1, 1)))),), np.zeros(1), (name,))
    for _ in range(60):
        low = random.normal() * 3
        high = low + 10.0 ** random.uniform(-3, 1)
        grid = np.linspace(low, high, 301)
        for ranges, f in ((slope_ranges, FUNCTIONS[name].derivative), (value_ranges, FUNCTIONS[name].ball)):
            (a,), (b,) = ranges(layer, np.array([low]), np.array([high]))
            with ball_arithmetic():
                values = [f(ball(float(z))) for z in grid]
                assert all(ball(float(a)) <= v <= ball(float(b)) for v in values)
                middle = [float(v.mid()) for v in values]
            reach = 2 * (grid[1] - grid[0]) ** 2 + 1e-12
            assert min(middle) - reach <= a and b <= max(middle) + reach


def test_slopes_on_the_line_are_the_known_extremes():
    layer = Layer(((0, Dense(np.ones((len(SMOOTH), 1)))),), np.zeros(len(SMOOTH)), SMOOTH)
    ends = np.full(len(SMOOTH), np.inf)
    low, high = slope_ranges(layer, -ends, ends)
    gelu, silu = 1.1289044, 1.0998393
    expected = {"tanh": (0, 1), "sigmoid": (0, 0.25), "erf": (0, 2 / np.sqrt(np.pi)), "softplus": (0, 1),
                "gelu": (1 - gelu, gelu), "silu": (1 - silu, silu), "sin": (-1, 1)}  # fmt: skip
    for name, a, b in zip(SMOOTH, low, high, strict=True):
        assert (a, b) == pytest.approx(expected[name], abs=1e-6)


def test_turning_points_separate_the_signs_of_the_derivatives():
    """Between the points of the table of `core.slopes` the next derivative keeps its sign."""
    with ball_arithmetic():
        for name, f, points in (
            ("gelu", FUNCTIONS["gelu"].derivative, [-0.7517915]), ("silu", FUNCTIONS["silu"].derivative, [-1.2784645]),
            ("gelu", FUNCTIONS["gelu"].second_derivative, [-(2**0.5), 2**0.5]),
            ("silu", FUNCTIONS["silu"].second_derivative, [-2.39935728, 2.39935728]),
        ):  # fmt: skip
            cuts = [-20.0, *points, 20.0]
            signs = []
            for a, b in pairwise(cuts):
                values = [f(arb(float(z))) for z in np.linspace(a + 1e-6, b - 1e-6, 200)]
                assert all(v > 0 for v in values) or all(v < 0 for v in values), name
                signs.append(bool(values[100] > 0))
            assert all(one != other for one, other in pairwise(signs))


def test_a_norm_is_verified_just_above_it_and_never_below():
    random = generator(9)
    for _ in range(200):
        shape = random.integers(1, 30, 2)
        matrix = random.normal(size=shape) * 10.0 ** random.uniform(-60, 60)
        block = Block(1, 0, matrix, 0.0)
        norm = np.linalg.norm(matrix, 2)
        assert not block.norm_is_at_most(norm * (1 - 1e-9))
        assert block.norm_is_at_most(norm * (1 + 1e-9))
        assert norm <= norm_bound(block) * (1 + 1e-12) and norm_bound(block) <= norm * (1 + 1e-5)
        assert not Block(1, 0, matrix, norm * 1e-3).norm_is_at_most(norm * (1 + 5e-4))
    for limit in (0.0, -1.0, np.nan, np.inf):
        assert Block(1, 0, np.eye(3), 0.0).norm_is_at_most(limit) == (limit == np.inf)


def test_the_errors_of_the_blocks_are_bounds():
    """The matrices in rationals differ by no more than the stated Frobenius norm."""
    for seed in range(5):
        random = generator(seed)
        widths = (3, 4, 4, 3)
        maps = [random.normal(size=(b, a)) for a, b in pairwise(widths)]
        network = Network.from_layers([(a, np.zeros(len(a))) for a in maps])
        ranges = slopes(network, None)
        half = [[Fraction(0.5)] * n for n in widths[1:-1]]
        whole = exact_jacobian(network, half)
        last = next(b for b in blocks(network, ranges) if (b.reader, b.source) == (4, 0))
        difference = sum(
            (Fraction(x) - y) ** 2
            for x, y in zip(last.matrix.ravel().tolist(), chain.from_iterable(whole), strict=True)
        )
        assert difference <= Fraction(last.error) ** 2
        assert last.error <= 1e-12


def test_norms_whose_squares_underflow_are_not_lost():
    matrix = np.full((3, 3), 1e-170)
    block = Block(1, 0, matrix, 0.0)
    assert block.frobenius >= 3e-170 and not block.norm_is_at_most(1e-170)
    network = Network.from_layers([(np.full((3, 3), 1e-200), np.zeros(3)), (np.full((1, 3), 1e200), [0.0])])
    truth = exact_jacobian(network, [[Fraction(1)] * 3])
    for norm, certified in lipschitz_bounds(network, None, {}).items():
        assert sup_norm(truth) <= certified.bound.limit if norm == "sup" else at_most(truth, certified.bound.limit)


def test_hostile_networks_and_boxes():
    one = np.ones((1, 1))
    huge = Network.from_layers([(1e200 * one, [0.0]), (1e200 * one, [0.0])])
    with pytest.raises(DomainError, match="float64"):
        lipschitz_bounds(huge, None, {})
    with pytest.raises(DomainError, match="float64"):
        lipschitz_bounds(huge, Box(0, 1), {})
    tiny = Network.from_layers([(1e-200 * one, [0.0]), (1e-200 * one, [0.0])])
    assert 0 < lipschitz_bounds(tiny, Box(-1, 1), {})["L2"].bound.value < 1e-100
    zero = Network.from_layers([(0 * one, [1.0]), (one, [0.0])])
    assert lipschitz_bounds(zero, None, {})["sup"].bound.value < 1e-100
    far = Network.from_layers([(one, [0.0]), (one, [0.0])], activation="tanh")
    assert lipschitz_bounds(far, Box(-(10**300), 10**300), {})["sup"].bound.value == pytest.approx(1.0, rel=1e-5)
    for name in SMOOTH:
        lost = Network.from_layers(
            [(1e200 * one, [0.0]), (1e200 * one, [0.0]), (one, [0.0])], activation=["relu", name]
        )
        assert np.isfinite(slopes(lost, Box(-1, 1))[1]).all()
    with pytest.raises(DomainError, match="dimension"):
        lipschitz_bounds(far, Box([0, 0], [1, 1]), {})
    deaf = Network(2, (Layer(((0, Dense(np.zeros((2, 2)))),), np.ones(2), ("relu",)),))
    assert lipschitz_bounds(deaf, None, {})["L2"].bound.value < 1e-100
    small = Network(1, (Layer(((0, Exact((1, 1), {(0, 0): Fraction(1, 10**400)})),), np.zeros(1), ("relu",)),))
    with pytest.raises(DomainError, match="rational weight"):
        lipschitz_bounds(small, None, {})


def test_kinks_that_meet_end_the_bisection():
    """relu(x) - relu(-x) = x: the two kinks are never apart, and the cell around 0 keeps [0, 1] + [0, 1]."""
    network = Network.from_layers([([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, -1.0]], [0.0])])
    found = lipschitz_bounds(network, Box(-1, 1), {"sup": 1.0, "L2": 1.0})
    assert 1 <= found["sup"].bound.value <= 2.001


@pytest.mark.parametrize("kind", KINDS)
def test_the_checker_derives_every_bound_again(kind):
    network = layered(0, kind)
    box = Box([-1] * network.inputs, [1] * network.inputs)
    found = [c for where in (box, None) for c in lipschitz_bounds(network, where, COARSE).values()]
    certificate = Certificate.of([c.bound for c in found], [pair for c in found for pair in c.witnesses])
    checked = check_certificate(network, certificate)
    assert {(b.norm, b.domain) for b in checked} >= {(norm, where) for norm in ("sup", "L2") for where in (box, None)}


def test_norms_and_jacobian_agree_on_one_row():
    """For one output and no kink both theorems give the length of the gradient."""
    random = generator(4)
    row = random.normal(size=(1, 9))
    network = Network.from_layers([(row, [0.0])])
    ranges = slopes(network, None)
    norms = {(b.reader, b.source): norm_bound(b) for b in blocks(network, ranges)}
    assert jacobian_norm(network, ranges, "L2") == pytest.approx(np.linalg.norm(row), rel=1e-8)
    assert combine(network, ranges, norms) == pytest.approx(np.linalg.norm(row), rel=1e-5)
