"""The verb `inspect`: every true statement that can be made of a network without knowing what it is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from epsnet.certify.bound import Bound, Kind, Norm
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box, Real
from epsnet.certify.errors import DomainError
from epsnet.checker.kernel import check_certificate
from epsnet.core.network import Layer, Network
from epsnet.core.serial import network_bytes
from epsnet.core.simplify import simplify
from epsnet.core.size import Size
from epsnet.core.solution import Solution, Statements
from epsnet.data import Sample
from epsnet.enclosure.gradients import evaluation_work, sampled_lipschitz
from epsnet.enclosure.lipschitz import lipschitz_bounds, norm_products
from epsnet.inspection.activity import SATURATED, Activity, Stability, activity, stability
from epsnet.inspection.geometry import Geometry, geometry
from epsnet.inspection.subject import Subject, ends, prepare, read_network

MAX_SIMPLIFIED = 2_000_000
"""Connections above which no simplification is tried: the simplifier works neuron by neuron in rationals."""


@dataclass(frozen=True, slots=True)
class Lipschitz:
    """Lipschitz constants of a network in one norm, the same for inputs and outputs.

    Attributes:
        norm: "sup" for the greatest change of a coordinate, "L2" for the Euclidean length.
        on_box, everywhere: certified upper bounds on the box of the inspection and on all of R^d.
        sampled: the largest norm of a Jacobian at sample points in the box: ESTIMATED, about a lower bound of both.
        product: the product of the norms of the layers, for comparison: ESTIMATED, in float64.
    """

    norm: Norm
    on_box: Bound
    everywhere: Bound
    sampled: float
    product: float

    def to_json(self) -> dict[str, Any]:
        """Return the constants as JSON values."""
        return {
            "norm": self.norm, "on_box": self.on_box.to_json(), "everywhere": self.everywhere.to_json(),
            "sampled": {"value": self.sampled, "kind": Kind.ESTIMATED.value},
            "product_of_norms": {"value": self.product, "kind": Kind.ESTIMATED.value},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Simplified:
    """What the simplifier would do to a network on a box; the result has the same values there, exactly.

    Attributes:
        weights, neurons: before and after.
        steps: how many neurons each kind of step removed.
    """

    weights: tuple[int, int]
    neurons: tuple[int, int]
    steps: dict[str, int]

    def __str__(self) -> str:
        steps = ", ".join(f"{count:,} {name}" for name, count in self.steps.items()) or "no step applies"
        (weights, fewer), (neurons, left) = self.weights, self.neurons
        return f"weights {weights:,} -> {fewer:,}, neurons {neurons:,} -> {left:,}: {steps}"

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "weights": list(self.weights), "neurons": list(self.neurons), "steps": self.steps,
            "kind": Kind.VERIFIED.value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is true of a network.

    Attributes:
        network: the network.
        size: M, L, N, W, magnitude, connections, operations, all counted exactly.
        bits: the length of the network file in bits.
        subject: the box and the points that the other statements are about, and where they come from.
        activity: what the neurons of each layer do on the points.
        stability: what the neurons of each layer do on the whole box.
        lipschitz: Lipschitz constants in the sup norm and in the Euclidean norm.
        simplified: what the simplifier would do; None for a network of more than `MAX_SIMPLIFIED` connections.
        geometry: what the network does to the box, where it was asked for.
        certificate: the derivation of all bounds, with their witnesses.
        obstacle: why nothing but the sizes is known, and the fields from `activity` on are empty; None if all is known.
    """

    network: Network
    size: Size
    bits: int
    subject: Subject
    activity: tuple[Activity, ...]
    stability: tuple[Stability, ...]
    lipschitz: tuple[Lipschitz, ...]
    simplified: Simplified | None
    certificate: Certificate
    geometry: Geometry | None = None
    obstacle: str | None = None

    @property
    def statements(self) -> Statements:
        """The network with all that is certified of it, for `check` and `save_statements`."""
        return Statements(self.network, self.certificate)

    def check(self) -> tuple[Bound, ...]:
        """Re-derive every bound by the checker, from the network alone. CheckError if one does not follow."""
        return check_certificate(self.network, self.certificate)

    def to_json(self) -> dict[str, Any]:
        """Return the statements as JSON values."""
        network, subject = self.network, self.subject
        facts = {"inputs": network.inputs, "outputs": network.outputs, "sha256": network.sha256}
        return {
            **self.size.to_json(), "bits": self.bits, **facts,
            "domain": {**subject.box.to_json(), "source": subject.box_source},
            "points": {"number": len(subject.points), "source": subject.points_source},
            "activity": [layer.to_json() for layer in self.activity],
            "stability": [layer.to_json() for layer in self.stability],
            "lipschitz": [constants.to_json() for constants in self.lipschitz],
            "simplified": None if self.simplified is None else self.simplified.to_json(),
            "geometry": None if self.geometry is None else self.geometry.to_json(),
            "obstacle": self.obstacle,
        }  # fmt: skip

    def __str__(self) -> str:
        size = self.size
        rows = [
            ("weights M", f"{size.weights:,}"),
            ("depth L", f"{size.depth}"),
            ("neurons N", f"{size.neurons:,} hidden"),
            ("width W", f"{size.width:,}"),
            ("magnitude", f"{size.magnitude:.6g}"),
            ("connections", f"{size.connections:,}"),
            ("operations", f"{size.operations:,} multiply-adds"),
            ("bits", f"{self.bits:,}"),
            ("sha256", self.network.sha256),
        ]
        lines = [
            str(self.network),
            "sizes   PROVED (counted exactly)",
            *(f"  {name:<12} {value}" for name, value in rows),
        ]
        lines.append("  layers")
        lines += [_describe(number, layer) for number, layer in enumerate(self.network.layers, start=1)]
        lines.append(f"domain   {box_text(self.subject.box)}   ({self.subject.box_source})")
        if self.obstacle is not None:
            return "\n".join([*lines, f"only counted   {self.obstacle}"])
        lines.append(f"activity on {self.subject.points_source}   ESTIMATED (float64 evaluation)")
        lines += _table(ACTIVITY_HEADER, activity_rows(self.activity))
        lines.append("neurons that keep to one side of their kink on the whole domain   VERIFIED (enclosures)")
        lines += _table(STABILITY_HEADER, stability_rows(self.stability))
        if any(layer.saturated is not None for layer in self.stability):
            lines.append(f"  saturated: a slope below {SATURATED:.0%} of the steepest that the activation has")
        for constants in self.lipschitz:
            lines += _lipschitz_lines(constants)
        if self.geometry is not None:
            lines.append(str(self.geometry))
        if self.simplified is None:
            lines.append(
                f"simplify   not tried: more than {MAX_SIMPLIFIED:,} connections. Call epsnet.simplify yourself."
            )
        else:
            lines.append(f"simplify   {self.simplified}   VERIFIED (exact; equal on the whole domain)")
        return "\n".join(lines)


ACTIVITY_HEADER = ("layer", "neurons", "mean", "deviation", "active", "never active", "always active", "saturated")
STABILITY_HEADER = ("layer", "neurons", "always active", "never active", "undecided", "saturated")
NORM_WORDS = {"sup": "sup norm", "L2": "Euclidean norm"}
NORM_REASONS = {
    "sup": "how far an output can move if every input moves by at most 1",
    "L2": "how far the outputs can move if the inputs move by length 1",
}


def activity_rows(layers: Sequence[Activity]) -> list[tuple[str, ...]]:
    """Return the activity as texts under `ACTIVITY_HEADER`."""
    return [
        (
            str(number), f"{a.neurons:,}", f"{a.mean:.4g}", f"{a.deviation:.4g}", _share(a.active),
            _count(a.never_active), _count(a.always_active), _share(a.saturated),
        )
        for number, a in enumerate(layers, start=1)
    ]  # fmt: skip


def stability_rows(layers: Sequence[Stability]) -> list[tuple[str, ...]]:
    """Return the stability as texts under `STABILITY_HEADER`."""
    return [
        (str(number), f"{s.neurons:,}", *map(_count, (s.active, s.inactive, s.undecided, s.saturated)))
        for number, s in enumerate(layers, start=1)
    ]


def without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out the columns of a table in which no row says anything."""
    kept = [column for column in range(len(header)) if any(row[column] != "-" for row in rows)]
    return [header[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    header, rows = without_empty(header, rows)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
    ]


def _lipschitz_lines(constants: Lipschitz) -> list[str]:
    lines = [f"Lipschitz constant in the {NORM_WORDS[constants.norm]}: {NORM_REASONS[constants.norm]}"]
    for where, bound in (("on the domain", constants.on_box), ("everywhere", constants.everywhere)):
        lines.append(f"  {where:<14} <= {bound.decimal()}   {bound.kind.value} ({bound.theorem}; exact arithmetic)")
    ratio = (
        f"; the bound on the domain is {constants.on_box.value / constants.sampled:.4g} times that"
        if constants.sampled
        else ""
    )
    lines.append(f"  sampled        >= {constants.sampled:.6g}   ESTIMATED (largest norm of a Jacobian seen){ratio}")
    lines.append(
        f"  for comparison the product of the norms of the layers is {constants.product:.6g}   ESTIMATED (float64)"
    )
    return lines


def box_text(box: Box) -> str:
    """Return a box as a short text: the power of an interval, the product of a few, or its dimension and extent."""
    sides = set(zip(box.lower, box.upper, strict=True))
    if len(sides) == 1 and box.dimension > 1:
        return f"{Box(box.lower[0], box.upper[0])}^{box.dimension}"
    text = str(box)
    if len(text) <= 100:
        return text
    low, high = min(map(float, box.lower)), max(map(float, box.upper))
    return f"a box of dimension {box.dimension} in [{low:.6g}, {high:.6g}]^{box.dimension}"


def _describe(number: int, layer: Layer) -> str:
    terms = [
        f"{type(linear).__name__} {linear.shape[1]} -> {linear.shape[0]}"
        + (f" from y{source}" if source != number - 1 else "")
        for source, linear in layer.terms
    ]
    return f"  {number:>5}  {' + '.join(terms)}  {'/'.join(dict.fromkeys(layer.activations))}"


def inspect(
    subject: Network | Solution | str | Path,
    *,
    on: Box | None = None,
    data: Sample | ArrayLike | None = None,
    activation: str | None = None,
    layers: Sequence[str] | None = None,
    cells: bool = False,
    level: Real | None = None,
    seed: int = 0,
) -> Inspection:
    """Say what is true of a network: sizes, activity and stability of its neurons, Lipschitz constants, reductions.

    Args:
        subject: a network, a solution, a network file, an ONNX file, weights of PyTorch, or the folder of a solution.
        on: the box that the statements are about, or one interval for all inputs; by default the box around the data,
            else the domain of the target of a solution, else [0, 1]^d for networks that read images and [-1/2, 1/2]^d
            for others.
        data: the points on which the activations are counted, (n, d) or a sample; by default uniform on the box.
        activation: weights of PyTorch only, see `load_torch`.
        layers: weights of PyTorch only, see `load_torch`.
        cells: list the cells of the box too, with what follows from them, see `inspection.geometry`. For networks that
            are piecewise linear and have few inputs, or for a slice of one (`geometry.slices`).
        level: of one output, with `cells`: the topology of its sub-, super- and level set.
        seed: of everything drawn at random.

    Returns:
        The statements, each with its kind. Of a network that exceeds the range of float64 only the sizes.

    Raises:
        DomainError: there is no such file, an ONNX file holds what no network here can say, or the box or the data do
            not fit.
        HypothesisError: the cells are asked for, and the network is not piecewise linear or has too many inputs.
        MissingExtraError: an ONNX file, and the extra "onnx" is not installed.
        CheckError: the file is not a network.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> print(inspect(hat, on=Box(0, 1)).lipschitz[0].on_box.decimal())
        2.00001
    """
    network, domain = read_network(subject, activation, layers)
    chosen = prepare(network, domain, on=on, data=data, seed=seed)
    counted = Inspection(
        network, network.size, 8 * len(network_bytes(network)), chosen, (), (), (), None, Certificate.of(())
    )
    try:
        stable = stability(network, chosen.box)
        lipschitz, certificate = _lipschitz(chosen)
        active = activity(network, chosen.points)
    except DomainError as error:
        return replace(counted, obstacle=str(error))
    simplified = _simplified(network, chosen.box) if network.size.connections <= MAX_SIMPLIFIED else None
    found = geometry(network, chosen.box, level) if cells or level is not None else None
    if found is not None:
        certificate = Certificate.joined(certificate, found.certificate)
    return replace(
        counted, activity=active, stability=stable, lipschitz=lipschitz, simplified=simplified, certificate=certificate,
        geometry=found,
    )  # fmt: skip


def _lipschitz(subject: Subject) -> tuple[tuple[Lipschitz, ...], Certificate]:
    network = subject.network
    few = subject.inside()[: max(16, 10**9 // (evaluation_work(network) * network.outputs))]
    sampled = sampled_lipschitz(network, *ends(subject.box), few, subject.seed)
    on_box = lipschitz_bounds(network, subject.box, sampled)
    everywhere = lipschitz_bounds(network, None, sampled)
    # What holds everywhere holds on the box, and is sometimes less: splitting is not monotone in the box.
    on_box = {norm: min(own, everywhere[norm], key=lambda found: found.bound.value) for norm, own in on_box.items()}
    products = norm_products(network)
    found: list[Lipschitz] = []
    norms: tuple[Norm, ...] = ("sup", "L2")
    for norm in norms:
        found.append(Lipschitz(norm, on_box[norm].bound, everywhere[norm].bound, sampled[norm], products[norm]))
    certified = [*on_box.values(), *everywhere.values()]
    witnesses = [pair for each in certified for pair in each.witnesses]
    return tuple(found), Certificate.of([each.bound for each in certified], witnesses)


def _simplified(network: Network, box: Box) -> Simplified:
    found = simplify(network, box)
    steps = Counter[str]()
    for step in found.log:
        steps[step["step"]] += len(step.get("neurons", [0]))
    after = found.network.size
    return Simplified(
        (network.size.weights, after.weights), (network.size.neurons, after.neurons), dict(sorted(steps.items()))
    )
