"""Dictionaries of functions: analysis, synthesis, N-term approximation, and networks that equal an expansion."""
