"""epsnet: deep learning with proofs attached. Importing it loads nothing but this list."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epsnet.certify.bound import Bound as Bound
    from epsnet.certify.bound import Kind as Kind
    from epsnet.certify.certificate import Certificate as Certificate
    from epsnet.certify.domain import Box as Box
    from epsnet.certify.errors import CertificateError as CertificateError
    from epsnet.certify.errors import CheckError as CheckError
    from epsnet.certify.errors import DomainError as DomainError
    from epsnet.certify.errors import EpsnetError as EpsnetError
    from epsnet.certify.errors import HypothesisError as HypothesisError
    from epsnet.certify.errors import MissingExtraError as MissingExtraError
    from epsnet.certify.errors import PrecisionError as PrecisionError
    from epsnet.checker.kernel import check as check
    from epsnet.codec.files import load_network as load_network
    from epsnet.codec.files import load_solution as load_solution
    from epsnet.codec.files import load_statements as load_statements
    from epsnet.codec.files import save_network as save_network
    from epsnet.codec.files import save_solution as save_solution
    from epsnet.codec.files import save_statements as save_statements
    from epsnet.compression.compress import compress as compress
    from epsnet.core.calculus import add as add
    from epsnet.core.calculus import compose as compose
    from epsnet.core.calculus import identity as identity
    from epsnet.core.calculus import pad_depth as pad_depth
    from epsnet.core.calculus import parallel as parallel
    from epsnet.core.calculus import scale as scale
    from epsnet.core.calculus import sparse_compose as sparse_compose
    from epsnet.core.network import Layer as Layer
    from epsnet.core.network import Network as Network
    from epsnet.core.network_target import NetworkTarget as NetworkTarget
    from epsnet.core.realize import realize as realize
    from epsnet.core.simplify import simplify as simplify
    from epsnet.core.solution import Solution as Solution
    from epsnet.core.solution import Statements as Statements
    from epsnet.core.target import DataTarget as DataTarget
    from epsnet.core.target import Target as Target
    from epsnet.data import Sample as Sample
    from epsnet.data import load_mnist as load_mnist
    from epsnet.data import read_data as read_data
    from epsnet.enclosure.distance import distance as distance
    from epsnet.inspection.inspect import inspect as inspect
    from epsnet.interop import from_sklearn as from_sklearn
    from epsnet.interop import load_onnx as load_onnx
    from epsnet.interop import load_torch as load_torch
    from epsnet.interop import save_onnx as save_onnx
    from epsnet.learning.estimators import EpsClassifier as EpsClassifier
    from epsnet.learning.estimators import EpsRegressor as EpsRegressor
    from epsnet.learning.learn import learn as learn
    from epsnet.report.document import write_report as write_report
    from epsnet.report.figures import draw as draw
    from epsnet.studies.run import study as study

# The public API, by topic: what is learned, what is known, the verbs, the calculus, files and data, errors.
_HOME = {
    "Network": "core.network",
    "Layer": "core.network",
    "Box": "certify.domain",
    "Target": "core.target",
    "DataTarget": "core.target",
    "NetworkTarget": "core.network_target",
    "Sample": "data",
    "Bound": "certify.bound",
    "Kind": "certify.bound",
    "Certificate": "certify.certificate",
    "Solution": "core.solution",
    "Statements": "core.solution",
    "learn": "learning.learn",
    "inspect": "inspection.inspect",
    "distance": "enclosure.distance",
    "compress": "compression.compress",
    "study": "studies.run",
    "check": "checker.kernel",
    "realize": "core.realize",
    "draw": "report.figures",
    "write_report": "report.document",
    "compose": "core.calculus",
    "sparse_compose": "core.calculus",
    "parallel": "core.calculus",
    "add": "core.calculus",
    "scale": "core.calculus",
    "identity": "core.calculus",
    "pad_depth": "core.calculus",
    "simplify": "core.simplify",
    "load_network": "codec.files",
    "save_network": "codec.files",
    "load_solution": "codec.files",
    "save_solution": "codec.files",
    "load_statements": "codec.files",
    "save_statements": "codec.files",
    "load_onnx": "interop",
    "save_onnx": "interop",
    "load_torch": "interop",
    "from_sklearn": "interop",
    "load_mnist": "data",
    "read_data": "data",
    "EpsnetError": "certify.errors",
    "DomainError": "certify.errors",
    "HypothesisError": "certify.errors",
    "CertificateError": "certify.errors",
    "CheckError": "certify.errors",
    "PrecisionError": "certify.errors",
    "MissingExtraError": "certify.errors",
}

# Defined only where scikit-learn is installed, so no star import asks for them.
_ESTIMATORS = {"EpsRegressor": "learning.estimators", "EpsClassifier": "learning.estimators"}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("epsnet")
    home = {**_HOME, **_ESTIMATORS}
    if name in home:
        return getattr(importlib.import_module(f"epsnet.{home[name]}"), name)
    raise AttributeError(f"module 'epsnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ESTIMATORS, "__version__"])
