"""Rule `cells`: true lists are accepted, and neither a thousand random forgeries nor the cunning ones below."""

from __future__ import annotations

import functools
import itertools
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check_certificate
from epsnet.core.cells import HYPOTHESES, witness
from epsnet.core.network import Network
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.enclosure.subdivision import exact_cells

F = Fraction

CROSS = Network.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), [0.0])])
SQUARE = Box([-1, -1], [1, 1])
SPACE = Network.from_layers([([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], np.zeros(2)), (np.ones((1, 2)), [0.0])])
CUBE = Box([-1] * 3, [1] * 3)


def integers(widths, seed):
    random = np.random.default_rng(seed)
    layers = [
        (random.integers(-2, 3, (o, i)).astype(float), random.integers(-2, 3, o) / 2)
        for i, o in itertools.pairwise(widths)
    ]
    return Network.from_layers(layers)


@functools.cache
def stored(network, box):
    return witness(exact_cells(network, box))


class Draft:
    """A list of cells to be changed: points (p, q) and for each dimension the sets of faces."""

    def __init__(self, network, box):
        arrays = stored(network, box)
        numbers = [int(word, 16) for word in arrays["points"].tobytes().split()]
        size = box.dimension + 1
        self.network, self.box = network, box
        self.points = [numbers[i : i + size] for i in range(0, len(numbers), size)]
        self.cells, sizes, faces = [], arrays["sizes"].tolist(), arrays["faces"].tolist()
        for count in arrays["counts"].tolist():
            own, sizes = sizes[:count], sizes[count:]
            self.cells.append([set(faces[sum(own[:i]) : sum(own[: i + 1])]) for i in range(count)])
            faces = faces[sum(own) :]

    def counts(self):
        return [len(self.points), *map(len, self.cells)]

    def delete(self, k, number):
        """Delete a cell, from all boundaries too."""
        (self.points if k == 0 else self.cells[k - 1]).pop(number)
        if k < len(self.cells):
            self.cells[k] = [{face - (face > number) for face in own if face != number} for own in self.cells[k]]

    def arrays(self):
        faces = [face for part in self.cells for own in part for face in sorted(own)]
        return {
            "points": text("\n".join(" ".join(f"{n:x}" for n in point) for point in self.points)),
            "counts": np.array([len(part) for part in self.cells]),
            "sizes": np.array([len(own) for part in self.cells for own in part], dtype=np.int64),
            "faces": np.array(faces, dtype=np.int64),
        }

    def accepted(self):
        """Tell whether the checker believes that there are as many regions as the list has."""
        return believed(self.network, self.box, self.arrays(), "activation regions", len(self.cells[-1]))


def text(characters):
    return np.frombuffer(characters.encode(), dtype=np.int8)


def claim_of(network, box, quantity, value):
    return Bound(
        quantity=quantity, sense="==", value=float(value), exact=F(value), domain=box, network=network.sha256,
        kind=Kind.PROVED, theorem="complete-cells", rule="cells", hypotheses=HYPOTHESES,
    )  # fmt: skip


def believed(network, box, arrays, quantity, value, changes=None):
    claim = replace(claim_of(network, box, quantity, value), **(changes or {}))
    try:
        check_certificate(network, Certificate.of((claim,), ((claim, arrays),)))
    except CheckError:
        return False
    return True


@pytest.mark.parametrize(
    ("network", "box"),
    [(CROSS, SQUARE), (SPACE, CUBE), (integers([2, 4, 3, 1], 1), SQUARE), (integers([1, 5, 1], 2), Box(-1, 1))],
    ids=["cross", "space", "plane", "line"],
)
def test_accepts(network, box):
    found = certify_cells(network, box)
    checked = check_certificate(network, found.certificate)
    assert len(checked) == box.dimension + 3
    assert {bound.kind for bound in checked} == {Kind.PROVED}
    assert Draft(network, box).accepted()
    for bound in checked:
        for wrong in (bound.value - 1, bound.value + 1, 0.5):
            assert not believed(network, box, Draft(network, box).arrays(), bound.quantity, F(wrong))


def true_counts(network, box):
    return list(exact_cells(network, box).f_vector())


def test_a_thousand_forgeries():
    """The claim is always what the forged list counts, so that only its structure can be refused."""
    random = np.random.default_rng(11)
    known = [(CROSS, SQUARE), (integers([2, 4, 3, 1], 1), SQUARE), (SPACE, CUBE), (integers([3, 3, 1], 5), CUBE)]
    made = 0
    while made < 1000:
        network, box = known[made % len(known)]
        draft, kind = Draft(network, box), made // len(known) % 6
        k = int(random.integers(1, box.dimension + 1))
        cells = draft.cells[k - 1]
        if kind == 0:  # a cell less
            k = int(random.integers(0, box.dimension + 1))
            draft.delete(k, int(random.integers(draft.counts()[k])))
        elif kind == 1:  # another face
            own = cells[random.integers(len(cells))]
            own.symmetric_difference_update(random.integers(draft.counts()[k - 1], size=random.integers(1, 3)).tolist())
            if draft.cells == Draft(network, box).cells:
                continue
        elif kind == 2:  # two cells joined mod 2, one of them taken away
            first, second = random.choice(len(cells), 2, replace=False).tolist()
            cells[first] = cells[first] ^ cells[second]
            draft.delete(k, second)
        elif kind == 3:  # a cell twice, or with its neighbor's boundary
            own = set(cells[random.integers(len(cells))])
            cells.append(own ^ cells[random.integers(len(cells))] if random.random() < 0.5 else own)
        elif kind == 4:  # a point moved
            point = draft.points[random.integers(len(draft.points))]
            before = [F(p, point[-1]) for p in point[:-1]]
            point[random.integers(len(point))] += int(random.choice([-1, 1]))
            if point[-1] and before == [F(p, point[-1]) for p in point[:-1]]:
                continue
        else:  # another network
            layers = [[np.array(layer.terms[0][1].weight), np.array(layer.bias)] for layer in network.layers]
            matrix = layers[0][random.integers(2)]
            matrix[tuple(random.integers(n) for n in matrix.shape)] += random.choice([-0.5, 0.25, 1.0])
            draft.network = Network.from_layers(layers)
            if true_counts(draft.network, box) == draft.counts():
                continue
        assert not draft.accepted(), (made, kind)
        made += 1


def cross():
    """Return the four squares with numbers of their vertices, edges and faces by position."""
    draft = Draft(CROSS, SQUARE)
    at = {(F(p, q), F(r, q)): i for i, (p, r, q) in enumerate(draft.points)}
    return draft, at


def test_regions_merged():
    """Across x = 0 the signs of the vertices contradict each other; so do those of a region with a part of another."""
    draft, _ = cross()
    first, second = next((a, b) for a in range(4) for b in range(a) if draft.cells[1][a] & draft.cells[1][b])
    (wall,) = draft.cells[1][first] & draft.cells[1][second]
    draft.cells[1][first] ^= draft.cells[1][second]
    draft.delete(2, second)
    draft.delete(1, wall)
    assert not draft.accepted()


def test_regions_missing():
    """Without one square, without all but one, and with nothing left that could be missed."""
    for count in (1, 2, 3):
        draft, _ = cross()
        for _ in range(count):
            draft.delete(2, 0)
        used = set().union(*draft.cells[1])
        for edge in reversed(range(len(draft.cells[0]))):
            if edge not in used:
                draft.delete(1, edge)
        used = set().union(*draft.cells[0])
        for vertex in reversed(range(len(draft.points))):
            if vertex not in used:
                draft.delete(0, vertex)
        assert not draft.accepted()
    draft, _ = cross()
    draft.cells[1] = []
    assert not draft.accepted()


def test_region_listed_twice():
    """A square cut along its diagonal: two cells with the same signs, whatever the boundaries."""
    draft, at = cross()
    diagonal = {at[F(0), F(0)], at[F(1), F(1)]}
    draft.cells[0].append(diagonal)
    quadrant = next(
        i for i, own in enumerate(draft.cells[1]) if diagonal <= set().union(*(draft.cells[0][e] for e in own))
    )
    corner = {e for e in draft.cells[1][quadrant] if at[F(1), F(0)] in draft.cells[0][e]}
    new = len(draft.cells[0]) - 1
    other = (draft.cells[1][quadrant] - corner) | {new}
    draft.cells[1][quadrant] = corner | {new}
    draft.cells[1].append(other)
    assert not draft.accepted()


def test_an_edge_cut_in_two():
    """A point in the middle of an edge has the signs of the edge."""
    draft, _ = cross()
    a, b = draft.cells[0][0]
    (p, r, q), (s, t, u) = draft.points[a], draft.points[b]
    draft.points.append([p * u + s * q, r * u + t * q, 2 * q * u])
    middle = len(draft.points) - 1
    draft.cells[0][0] = {a, middle}
    draft.cells[0].append({middle, b})
    for own in draft.cells[1]:
        if 0 in own:
            own.add(len(draft.cells[0]) - 1)
    assert not draft.accepted()


def test_a_region_outside_of_the_box():
    """The same list stretched to a larger box, and for a smaller one."""
    draft, _ = cross()
    for box in (Box([-2, -1], [1, 1]), Box([-1, -1], [1, F(1, 2)]), Box([-2, -2], [2, 2])):
        draft.box = box
        assert not draft.accepted()
    draft, _ = cross()
    for point in draft.points:
        point[:2] = [2 * point[0], 2 * point[1]]
    assert not draft.accepted()
    for point in draft.points:  # the same points, with a negative denominator
        point[:] = [-point[0] // 2, -point[1] // 2, -point[2]]
    assert not draft.accepted()


def test_cells_that_no_boundary_needs():
    """One more vertex, edge or closed chain of edges beside a complete list, inside a region and on a line."""
    for more in ([1, 1, 3], [0, 1, 3], [1, 0, 2]):
        draft, _ = cross()
        draft.points.append(more)
        assert not draft.accepted()
    draft, at = cross()
    draft.cells[0].append({at[F(0), F(0)], at[F(1), F(1)]})
    assert not draft.accepted()
    # An edge across a region, twice in its boundary or in those of two regions, changes no sum mod 2.
    for own in draft.cells[1]:
        own.add(len(draft.cells[0]) - 1)
        assert not draft.accepted()


def test_a_vertex_cut_off():
    """A corner of the box and its two edges replaced by one edge between their other ends."""
    draft, at = cross()
    corner = at[F(1), F(1)]
    first, second = (i for i, own in enumerate(draft.cells[0]) if corner in own)
    draft.cells[0][first] ^= draft.cells[0][second]
    draft.delete(1, second)
    draft.delete(0, corner)
    assert not draft.accepted()


def test_two_cubes_with_a_crooked_wall():
    """The wall x + y = 0 of a cube, folded along its diagonal over a vertex of one side, has both signs or none."""
    draft = Draft(SPACE, CUBE)
    assert draft.accepted()
    for number in range(len(draft.points)):
        p, r, s, q = draft.points[number]
        if (p + r, s) == (0, 0):
            moved = Draft(SPACE, CUBE)
            moved.points[number] = [2 * p, 2 * r, q, 2 * q]
            assert not moved.accepted()


def test_a_smaller_neuron_is_not_forgotten():
    """The list of the cross for a network with one neuron more, or another box of the same form."""
    draft, _ = cross()
    for row in ([1.0, 1.0], [8.0, -7.0], [1.0, 0.0]):
        draft.network = Network.from_layers([([[1.0, 0.0], [0.0, 1.0], row], np.zeros(3)), (np.ones((1, 3)), [0.0])])
        assert draft.accepted() == (row == [1.0, 0.0])
    small = Network.from_layers([(np.eye(2), [0.0, 1 - 2.0**-40]), (np.ones((1, 2)), [0.0])])
    draft.network = small
    assert not draft.accepted()
    assert Draft(small, SQUARE).accepted()


def test_forms_of_claims():
    draft, _ = cross()
    arrays = draft.arrays()
    assert believed(CROSS, SQUARE, arrays, "activation regions", 4)
    assert believed(CROSS, SQUARE, arrays, "linear regions", 4)
    for quantity in ("cells of dimension 3", "cells of dimension 02", "cells of dimension ²", "regions", "pieces", ""):
        assert not believed(CROSS, SQUARE, arrays, quantity, 4)
    for changes in (
        {"sense": "<="}, {"sense": ">="}, {"norm": "sup"}, {"measure": "uniform"}, {"eps": F(1)}, {"domain": None},
        {"arithmetic": "float64"}, {"network": None}, {"theorem": "closed-vertex-list"}, {"hypotheses": ()},
        {"domain": Box(-1, 1)}, {"domain": Box([-1, -1, -1], [1, 1, 1])}, {"exact": None, "value": 4.5},
    ):  # fmt: skip
        assert not believed(CROSS, SQUARE, arrays, "activation regions", 4, changes), changes


HUGE = np.full(10**6, 10**18)
HOSTILE = {
    "no-points": {"points": text("")},
    "short-points": {"points": text("0 0 1 1")},
    "words": {"points": text("zero one two")},
    "floats": {"points": text("0.5 1 1 " * 9)},
    "zero-denominator": {"points": text("0 0 0 " * 9)},
    "long-number": {"points": text("f" * 10**6 + " 0 1 " + "0 0 1 " * 8)},
    "many-points": {"points": text("0 0 1 " * 2_000_000)},
    "one-point": {"points": text("0 0 1 " * 9)},
    "not-ascii": {"points": np.full(100, -7, dtype=np.int8)},
    "int64-points": {"points": np.zeros(9, dtype=np.int64)},
    "no-counts": {"counts": np.zeros(0, dtype=np.int64)},
    "negative-counts": {"counts": np.array([-4, 20])},
    "zero-counts": {"counts": np.array([16, 0])},
    "huge-counts": {"counts": np.array([2**62, 2**62])},
    "huge-sizes": {"sizes": HUGE},
    "overflow": {"counts": np.array([2**31, 2**31]), "sizes": np.full(16, 2**60)},
    "negative-sizes": {"sizes": np.array([-1] * 16)},
    "zero-sizes": {"sizes": np.zeros(16, dtype=np.int64)},
    "faces-out-of-range": {"faces": np.arange(40) + 100},
    "negative-faces": {"faces": np.arange(40) - 100},
    "float-faces": {"faces": np.zeros(40)},
    "no-faces": {"faces": np.zeros(0, dtype=np.int64)},
    "matrix": {"faces": np.zeros((4, 10), dtype=np.int64)},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_witnesses(name):
    draft, _ = cross()
    start = time.process_time()
    assert not believed(CROSS, SQUARE, {**draft.arrays(), **HOSTILE[name]}, "activation regions", 4)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("name", ["points", "counts", "sizes", "faces"])
def test_missing_arrays(name):
    arrays = cross()[0].arrays()
    del arrays[name]
    assert not believed(CROSS, SQUARE, arrays, "activation regions", 4)


def test_faces_of_faces_are_limited():
    """Edges that many faces share, faces that many cells share: no list is multiplied out."""
    draft = Draft(SPACE, CUBE)
    arrays = draft.arrays()
    edges, many = len(draft.cells[0]), 1000
    draft_sizes = [2] * edges + [edges] * many + [many] * many
    faces = [sorted(own) for own in draft.cells[0]] + [range(edges)] * many
    arrays["counts"] = np.array([edges, many, many])
    arrays["sizes"] = np.array(draft_sizes)
    flat = np.concatenate([np.array(list(own)) for own in faces])
    arrays["faces"] = np.concatenate([flat, np.tile(np.arange(many), many)])
    assert not believed(SPACE, CUBE, arrays, "activation regions", many)


def test_signs_are_limited():
    """A wide network, and many cells with long boundaries: the signs of all faces are never held at once."""
    wide = Network.from_layers([(np.ones((3000, 2)), np.arange(3000.0)), (np.ones((1, 3000)), [0.0])])
    ring, cells = 1000, 400
    arrays = {
        "points": text("0 0 1 " * ring),
        "counts": np.array([ring, cells]),
        "sizes": np.array([2] * ring + [ring] * cells),
        "faces": np.array([v for i in range(ring) for v in sorted((i, (i + 1) % ring))] + [*range(ring)] * cells),
    }
    assert not believed(wide, SQUARE, arrays, "activation regions", cells)


def test_networks_that_are_refused():
    smooth = Network.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), [0.0])], activation="tanh")
    arrays = cross()[0].arrays()
    assert not believed(smooth, SQUARE, arrays, "activation regions", 4)
    assert not believed(integers([3, 2, 1], 0), SQUARE, arrays, "activation regions", 4)


def test_coordinates_are_kept_exactly():
    """A vertex at 1/3 whose neighbor lies 2^-50 from it."""
    network = Network.from_layers([([[3.0], [3.0]], [-1.0, -1.0 - 2.0**-50]), ([[1.0, 1.0]], [0.0])])
    found = certify_cells(network, Box(0, 1))
    check_certificate(network, found.certificate)
    assert sorted(found.found.vertices) == [
        (fmpq(0),), (fmpq(1, 3),), (fmpq(2**50 + 1, 3 * 2**50),), (fmpq(1),)
    ]  # fmt: skip
