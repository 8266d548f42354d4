"""Networks from and for other libraries: ONNX files."""

from epsnet.interop.onnx_export import save_onnx
from epsnet.interop.onnx_import import load_onnx

__all__ = ["load_onnx", "save_onnx"]
