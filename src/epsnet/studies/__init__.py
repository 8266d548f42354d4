"""Studies: one file for each theorem, which states the claim, measures it, and ends with a verdict and a figure."""
