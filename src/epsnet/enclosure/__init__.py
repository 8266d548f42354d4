"""Rigorous ranges, Lipschitz constants, distances and exact cells of networks on boxes, and the minimal-link tube."""
