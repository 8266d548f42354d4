"""Pictures of atoms beside the networks that stand for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Bound
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.realize import realize
from epsnet.dictionaries.molecules import Atoms
from epsnet.dictionaries.transfer import Transfer, transfer
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS, _PIXELS = 801, 121


def draw_atoms(atoms: Sequence[tuple[str, Atoms]]) -> Figure:
    """Draw the first atom of each family on the unit cube, and below it its network with weights and certified error.

    Args:
        atoms: names and families, in one or two variables.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: there is nothing to draw, or a family has other variables.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    if not atoms:
        raise DomainError("There is no atom to draw. Give one or more families.")
    figure = Figure(figsize=(max(2.0 * len(atoms), 4.0), 4.2), layout="constrained")
    panels = figure.subplots(2, len(atoms), squeeze=False)
    for (name, family), (above, below) in zip(atoms, panels.T, strict=True):
        draw_atom(above, below, name, family)
    return figure


def draw_atom(above: Any, below: Any, name: str, family: Atoms) -> None:
    """Draw the first atom of a family into one panel, its network into another."""
    d = family.matrices.shape[2]
    if d not in (1, 2):
        raise DomainError(f"Atoms of {d} variables cannot be drawn. Give one or two.")
    found = transfer([(family.chosen([0]), [1.0])], Box([0] * d, [1] * d))
    above.set_title(name, fontsize=8)
    below.set_title(_label(found), fontsize=7)
    side = np.linspace(0, 1, _POINTS if d == 1 else _PIXELS)
    points = side[:, None] if d == 1 else np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    exact, computed = family.values(points)[:, 0], realize(found.network, points)[:, 0]
    largest = float(np.abs(exact).max()) or 1.0
    for axes, values, color in ((above, exact, COLORS["blue"]), (below, computed, COLORS["orange"])):
        axes.set(xticks=[], yticks=[])
        if d == 1:
            axes.plot(side, values, color=color, linewidth=1)
            axes.set_ylim(-1.1 * largest, 1.1 * largest)
        else:
            image = values.reshape(_PIXELS, _PIXELS)
            axes.imshow(image, origin="lower", cmap="PuOr", vmin=-largest, vmax=largest, interpolation="nearest")


def _label(found: Transfer) -> str:
    error: Bound = found.error
    exact = error.premises[0] if error.premises else error
    text = "exact" if exact.value == 0 else f"error ≤ {exact.value:.0e}"
    return f"M = {found.network.size.weights}, {text}"
