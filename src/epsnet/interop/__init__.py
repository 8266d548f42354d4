"""Networks from and for other libraries: ONNX files, weights of PyTorch, MLPs of scikit-learn."""

from epsnet.interop.onnx_export import save_onnx
from epsnet.interop.onnx_import import load_onnx
from epsnet.interop.sklearn_mlp import from_sklearn
from epsnet.interop.torch_weights import load_torch

__all__ = ["from_sklearn", "load_onnx", "load_torch", "save_onnx"]
