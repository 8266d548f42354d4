"""Formulas of statistics: confidence bounds from counts."""
