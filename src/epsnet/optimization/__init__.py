"""Optimization: certified global optima, rates of stochastic gradient descent, and exact loss landscapes."""
