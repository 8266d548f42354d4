"""The shortest file of a network: quantization, an exact arithmetic coder, and the one class with an optimal code."""
