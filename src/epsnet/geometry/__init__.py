"""Geometry: the regions of piecewise-linear networks, how many there are, and the topology of level sets."""
