"""What `inspect` is given: the network, the box its statements are about, and the points it is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.codec.circuits import Program
from epsnet.codec.files import SUFFIX, load_file, load_network, load_solution
from epsnet.core.linear_maps import Convolution
from epsnet.core.network import Network
from epsnet.core.serial import NETWORK_FILE, SOLUTION_FILE
from epsnet.core.solution import FunctionTarget, Solution, Statements
from epsnet.data import Sample
from epsnet.enclosure.gradients import evaluation_work
from epsnet.geometry.slices import coordinate_slice, plane_slice
from epsnet.interop import load_onnx, load_torch

Array = NDArray[np.float64]

_WIDENED = Fraction(1, 2**20)
_IMAGE = 100  # inputs from which a network is taken to read images
_WORK = 10**9
_LEAST_POINTS, _MOST_POINTS = 64, 2000


@dataclass(frozen=True, slots=True)
class Subject:
    """A network with the box and the points of its inspection.

    Attributes:
        network: Phi.
        box: where it is inspected.
        box_source: where the box comes from, in words.
        points: (n, d), float64.
        points_source: where the points come from, in words.
        seed: of everything drawn at random.
    """

    network: Network
    box: Box
    box_source: str
    points: Array
    points_source: str
    seed: int

    def inside(self) -> Array:
        """Return the points that lie in the box, and uniform ones if there are none."""
        low, high = ends(self.box)
        kept = self.points[((self.points >= low) & (self.points <= high)).all(axis=1)]
        return kept if len(kept) else uniform(self.box, _LEAST_POINTS, self.seed)


def read_network(
    subject: Network | Solution | str | Path, activation: str | None = None, layers: Sequence[str] | None = None
) -> tuple[Network, Box | None]:
    """Return a network, and the domain of its target where that is a formula; `activation` makes it weights of PyTorch.

    Raises:
        DomainError: there is no such file, or an ONNX file holds what no network here can say.
        MissingExtraError: an ONNX file, and the extra "onnx" is not installed.
        CheckError: the file is not a network.
    """
    if isinstance(subject, Network):
        return subject, None
    if isinstance(subject, Solution):
        return subject.network, subject.target.domain if isinstance(subject.target, FunctionTarget) else None
    if not isinstance(subject, str | Path):
        raise DomainError(f"{type(subject).__name__} is no network. Give a Network, a Solution or a path.")
    path = Path(subject)
    if activation is not None:
        return load_torch(path, activation, layers=layers), None
    if path.suffix in (".pt", ".pth"):
        raise DomainError(
            f"{path} holds weights and not what stands between them. Say it, for example --activation relu."
        )
    if path.suffix == ".onnx":
        return load_onnx(path), None
    if (path / SOLUTION_FILE).is_file():
        return read_network(load_solution(path))
    if path.suffix == SUFFIX:
        found = load_file(path)
        if isinstance(found, Program):
            return found.network, found.target.domain
        return read_network(found.network if isinstance(found, Statements) else found)
    return load_network(path / NETWORK_FILE if path.is_dir() else path), None


def sliced(
    subject: Network | Solution | str | Path,
    plane: str,
    box: Box | None,
    sample: Sample | None,
    *,
    activation: str | None = None,
    layers: Sequence[str] | None = None,
) -> tuple[Network, Box]:
    """Return a network on a plane, and the rectangle: two inputs such as "0,3", or three rows of a sample, "0,1,2".

    With inputs, the others are at the middle of the box. With rows, these are at (0, 0), (1, 0) and (0, 1), and the
    rectangle is [-1/2, 3/2]^2.

    Raises:
        DomainError: the text is neither, or there is no such input or row, or no sample.
    """
    network, domain = read_network(subject, activation, layers)
    try:
        numbers = [int(part) for part in plane.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        chosen = prepare(network, domain, on=box, data=sample, seed=0).box
        return coordinate_slice(network, chosen, (numbers[0], numbers[1]))
    if len(numbers) != 3:
        raise DomainError(f'The slice {plane!r} is none. Give two inputs, "0,3", or three rows of the data, "0,1,2".')
    if sample is None:
        raise DomainError("Three rows of the data span the slice, and there are no data. Give them with --data.")
    matrix = _matrix(sample, network)
    if not all(0 <= row < len(matrix) for row in numbers):
        raise DomainError(f"The data have the rows 0 to {len(matrix) - 1}. Choose three of them.")
    return plane_slice(network, matrix[numbers]), Box(("-1/2", "-1/2"), ("3/2", "3/2"))


def fitted(box: Box, network: Network) -> Box:
    """Return a box for all inputs of a network: one interval stands for all. DomainError if it does not fit."""
    if not isinstance(box, Box):
        raise DomainError(f"The domain is of type {type(box).__name__}. Give a Box.")
    if box.dimension == 1:
        box = Box(list(box.lower) * network.inputs, list(box.upper) * network.inputs)
    if box.dimension != network.inputs:
        raise DomainError(
            f"The box has dimension {box.dimension}, the input {network.inputs}. "
            f"Give one interval for each input, or one for all."
        )
    return box


def prepare(
    network: Network, domain: Box | None, *, on: Box | None, data: Sample | ArrayLike | None, seed: int
) -> Subject:
    """Settle the box and the points: `on`, else the box around the data, else `domain`, else a guess that is stated.

    Raises:
        DomainError: the box or the data do not fit the network.
    """
    given = None if data is None else _matrix(data, network)
    if on is not None:
        box, source = fitted(on, network), "as given"
    elif given is not None:
        box, source = _around(given)
    elif domain is not None:
        box, source = domain, "the domain of the target"
    elif network.inputs >= _IMAGE or isinstance(network.layers[0].terms[0][1], Convolution):
        box = Box([0] * network.inputs, [1] * network.inputs)
        source = "assumed: inputs scaled like the pixels of an image; give a box or data"
    else:
        half = [Fraction(1, 2)] * network.inputs
        box = Box([-side for side in half], half)
        source = "assumed: inputs scaled to width one around zero; give a box or data"
    wanted = int(np.clip(_WORK // evaluation_work(network), _LEAST_POINTS, _MOST_POINTS))
    if given is None:
        points, words = uniform(box, wanted, seed), f"{wanted:,} points uniform on the box, seed {seed}"
    else:
        name = data.name if isinstance(data, Sample) else "the data"
        total = len(given)
        if total <= wanted * 5:
            points, words = given, f"all {total:,} points of {name}"
        else:
            chosen = np.random.Generator(np.random.Philox(seed)).permutation(total)[: wanted * 5]
            points = given[np.sort(chosen)]
            words = f"{len(points):,} of the {total:,} points of {name}, drawn with seed {seed}"
    return Subject(network, box, source, points, words, seed)


def ends(box: Box) -> tuple[Array, Array]:
    """Return the ends of a box, rounded to nearest."""
    return np.array([float(end) for end in box.lower]), np.array([float(end) for end in box.upper])


def uniform(box: Box, count: int, seed: int) -> Array:
    """Draw points uniformly."""
    return np.random.Generator(np.random.Philox(seed)).uniform(*ends(box), (count, box.dimension))


def _matrix(data: Sample | ArrayLike, network: Network) -> Array:
    try:
        points = data.matrix() if isinstance(data, Sample) else np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DomainError("The data is not an array of numbers. Give a matrix with one row for each point.") from None
    if points.ndim != 2 or points.shape[1] != network.inputs or not len(points):
        raise DomainError(
            f"The data has shape {points.shape}, the network takes {network.inputs} inputs. "
            "Give a matrix with one row for each point."
        )
    if not np.isfinite(points).all():
        raise DomainError("The data contains NaN or infinity. Remove or replace the missing values.")
    return points


def _around(points: Array) -> tuple[Box, str]:
    low, high = points.min(axis=0), points.max(axis=0)
    constant = int((low == high).sum())
    upper = [
        Fraction(b) if a < b else Fraction(b) + _WIDENED * max(1, abs(Fraction(b)))
        for a, b in zip(low.tolist(), high.tolist(), strict=True)
    ]
    words = "the box around the data"
    if constant:
        words += f"; {constant:,} constant {'coordinate' if constant == 1 else 'coordinates'} widened by 2^-20"
    return Box([Fraction(a) for a in low.tolist()], upper), words
