"""The loss around a trained network: its Hessian's spectrum, and the loss on a plane through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, HypothesisError, MissingExtraError
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.data import Sample
from epsnet.optimization.figures import draw_plane, draw_spectrum
from epsnet.optimization.hessian import (
    SpectralDensity,
    Spectrum,
    extreme_eigenvalues,
    flatten,
    hessian,
    network_objective,
    spectral_density,
    spectrum,
)
from epsnet.optimization.landscape import Direction, Plane, loss_plane
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_FULL = 2000
"""The most weights whose Hessian is diagonalized; with more its density is estimated from products."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalLandscape:
    """What is known of the empirical risk around a network. ESTIMATED: float64.

    Attributes:
        network: the network, with P weights and biases.
        loss: the mean loss over the sample: "cross_entropy" for classes, "square" for targets.
        examples: the number of points of the sample.
        value: the loss at the network.
        gradient: the Euclidean norm of its gradient.
        range: the least and the largest eigenvalue of the Hessian.
        trace: of the Hessian, with its standard error, which is 0 where the whole Hessian was computed.
        spectrum: all eigenvalues and the inertia, or None if P > 2000.
        density: the density of the eigenvalues where P > 2000.
        plane: the loss on a plane through the network, along two random filter-normalized directions.
    """

    network: Network
    loss: str
    examples: int
    value: float
    gradient: float
    range: tuple[float, float]
    trace: tuple[float, float]
    spectrum: Spectrum | None
    density: SpectralDensity | None
    plane: Plane

    @property
    def weights(self) -> int:
        """The number P of weights and biases."""
        return sum(matrix.size + bias.size for matrix, bias in self.plane.first)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the eigenvalues and the plane."""
        return {
            "kind": "ESTIMATED", "weights": self.weights, "loss": self.loss, "examples": self.examples,
            "value": self.value, "gradient": self.gradient, "least_eigenvalue": self.range[0],
            "largest_eigenvalue": self.range[1], "trace": self.trace[0], "trace_error": self.trace[1],
            "inertia": None if self.spectrum is None else list(self.spectrum.inertia),
        }  # fmt: skip

    def __str__(self) -> str:
        about = f"trace {self.trace[0]:.6g}" + (f" +- {self.trace[1]:.2g}" if self.trace[1] else "")
        lines = [
            f"network    {self.network}",
            f"loss       {self.loss.replace('_', ' ')} {self.value:.6g} on {self.examples:,} examples, "
            f"|gradient| = {self.gradient:.3g}   ESTIMATED",
            f"Hessian    {self.weights:,} weights, eigenvalues {self.range[0]:.6g} to {self.range[1]:.6g}, {about}",
        ]
        if self.spectrum is not None:
            negative, zero, positive = self.spectrum.inertia
            lines.append(f"inertia    {negative} negative, {zero} zero, {positive} positive")
        return "\n".join(lines)

    def draw(self) -> Figure:
        """Draw spectrum and plane. MissingExtraError if matplotlib is not installed."""
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            raise MissingExtraError("plot", "Drawing") from None
        figure = Figure(figsize=(10.5, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        if self.spectrum is not None:
            draw_spectrum(left, self.spectrum)
        elif self.density is not None:
            places = np.linspace(*self.range, 1000)
            left.semilogy(places, self.density.size * self.density(places), color=COLORS["blue"], linewidth=1.3)
            left.set(xlabel="eigenvalue", ylabel="eigenvalues per unit", ylim=(1e-3, None))
        left.set_title("Hessian of the loss", fontsize=10)
        draw_plane(right, self.plane)
        right.set_title(f"{self.loss.replace('_', ' ')}, filter-normalized directions", fontsize=10)
        return figure


def local_landscape(
    network: Network, sample: Sample, *, radius: float = 1.0, points: int = 25, seed: int = 0
) -> LocalLandscape:
    """Survey the empirical risk around a network, as a function of all its weights and biases.

    Args:
        network: a plain network of dense layers, one activation for all hidden ones.
        sample: classes are scored by the cross entropy, targets by the square loss.
        radius: of the plane; 1 replaces every row of weights by noise of its size.
        points: of the plane along each axis, odd so that the network is one of them.
        seed: of the directions of the plane, and of the probes of a density.

    Raises:
        DomainError: the sample does not fit the network.
        HypothesisError: the network has skips, convolutions or several activations.
        MissingExtraError: JAX is not installed.
    """
    layers, activation = plain_layers(network)
    if sample.dimension != network.inputs or sample.outputs != network.outputs:
        raise DomainError(
            f"{sample.name} has {sample.dimension} inputs and {sample.outputs} outputs, the network {network.inputs} "
            f"and {network.outputs}. Give the data of this network."
        )
    classes = sample.classes is not None
    loss = "cross_entropy" if classes else "square"
    labels = sample.labels if classes else sample.labels.reshape(len(sample), -1)
    objective, theta = network_objective(layers, sample.matrix(), labels, loss=loss, activation=activation)
    evaluate = objective.value_and_gradient()
    value, slope = evaluate(theta)
    whole = density = None
    if theta.size <= LARGEST_FULL:
        whole = spectrum(hessian(objective, theta))
        extremes, trace = (float(whole.eigenvalues[0]), float(whole.eigenvalues[-1])), (whole.trace, 0.0)
    else:
        product = objective.hessian_product(theta)
        density = spectral_density(product, theta.size, seed=seed)
        low, high = extreme_eigenvalues(product, theta.size)
        extremes, trace = (float(low[0]), float(high[0])), density.trace
    plane = loss_plane(lambda moved: evaluate(flatten(moved))[0], layers, radius=radius, points=points, seed=seed)
    norm = float(np.linalg.norm(slope))
    return LocalLandscape(network, loss, len(sample), value, norm, extremes, trace, whole, density, plane)


def plain_layers(network: Network) -> tuple[Direction, str]:
    """Return the pairs (A, b) of a plain dense network, and the activation of its hidden layers.

    Raises:
        HypothesisError: it has skips, other linear maps, several activations or one after the last layer.
    """
    hidden = {name for layer in network.layers[:-1] for name in layer.activations}
    plain = (
        len(hidden) <= 1
        and set(network.layers[-1].activations) == {"identity"}
        and all(
            [source for source, _ in layer.terms] == [number] and isinstance(layer.terms[0][1], Dense)
            for number, layer in enumerate(network.layers)
        )
    )
    if not plain:
        raise HypothesisError(
            "The landscape is drawn for dense layers without skips, with one activation for all hidden layers. "
            "Give a network of this form."
        )
    pairs = [(np.asarray(layer.terms[0][1].weight, dtype=np.float64), _bias(layer.bias)) for layer in network.layers]  # pyright: ignore[reportAttributeAccessIssue]
    return pairs, next(iter(hidden), "identity")


def _bias(stored: NDArray[np.float64] | Sequence[Any]) -> NDArray[np.float64]:
    return np.array([float(value) for value in stored], dtype=np.float64)
