"""The studies by name. A study is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from epsnet.certify.errors import DomainError

if TYPE_CHECKING:
    from epsnet.studies.study import Study

NAMES = (
    "piece-count",
    "risk-decomposition",
    "squaring-and-product",
    "barron-rates",
    "depth-separation",
    "maximum-depth",
    "universal-approximation",
    "universal-architectures",
    "compositional",
    "linear-regions",
    "space-folding",
    "betti-numbers",
    "quantization-distance",
    "compression",
    "global-optimum",
    "effective-rates",
    "singularities",
    "storage",
    "warped-classes",
    "transfer",
    "sgd-rates",
    "kawaguchi",
    "spurious-minima",
    "mode-connectivity",
    "near-convexity",
    "implicit-bias",
    "edge-of-stability",
    "optimizers",
    "double-descent",
    "error-decomposition",
    "sphere-spectra",
    "risk-bounds",
    "gaussian-process-limit",
    "ntk-limit",
    "kernel-against-network",
)
"""The names of all studies, in the order of `epsnet study list`."""


def find(name: str) -> Study:
    """Return a study.

    Raises:
        DomainError: there is none of this name.
    """
    if name not in NAMES:
        raise DomainError(f"There is no study {name!r}. Use one of {', '.join(NAMES)}.")
    return importlib.import_module(f"epsnet.studies.{name.replace('-', '_')}").STUDY
