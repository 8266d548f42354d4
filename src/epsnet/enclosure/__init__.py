"""Rigorous ranges, Lipschitz constants and distances of networks on boxes, and the minimal-link tube."""
