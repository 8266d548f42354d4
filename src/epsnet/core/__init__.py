"""The objects: networks, formulas, targets, solutions, and the calculus that combines networks."""
