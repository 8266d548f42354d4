"""A smaller network for a given one: exact reductions, then pruning and quantization within a certified error."""
