"""Generalization: from the risk on a sample to the risk on everything."""
