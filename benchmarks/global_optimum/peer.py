"""T5 by pyscnn 0.0.10, in an environment of its own.

    python peer.py > results/scnn.csv

    python -m venv scnn && scnn/bin/pip install --no-deps pyscnn==0.0.10 linalg_backends opt_einsum
    scnn/bin/pip install cvxpy scikit-learn "numpy>=2"
    scnn/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu

Its loss is divided by the number of points, hence lambda = beta / n; `unitize_data` rescales the regularizer and is
off. The objective is recomputed here from the weights that come back, balanced as they are.
"""

import sys
import time

import numpy as np
from scnn.activations import sample_gate_vectors
from scnn.metrics import Metrics
from scnn.models import ConvexReLU
from scnn.optimize import optimize_model
from scnn.regularizers import NeuronGL1
from scnn.solvers import AL

OPTIMUM = 9.571319398472


def balanced_objective(x, y, beta, parameters):
    """Return the objective after rescaling every neuron to |w| = |a|, which changes no output."""
    hidden, outer = (np.asarray(p, dtype=np.float64) for p in parameters[:2])
    outer = outer.reshape(-1)
    residual = np.maximum(x @ hidden.T, 0) @ outer - y
    return residual @ residual / 2 + beta * np.sum(np.linalg.norm(hidden, axis=1) * np.abs(outer))


def main():
    """Print one line for each setting."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    x[:, -1] = 1
    y, beta = rng.normal(size=40), 0.1
    print("gates,tol,dtype,seconds,objective,relative_excess")
    settings = ((500, 1e-6, "float32"), (500, 1e-6, "float64"), (500, 1e-9, "float64"))
    for gates, tol, dtype in settings:
        start = time.perf_counter()
        model = ConvexReLU(sample_gate_vectors(0, 2, gates))
        solver = AL(model, tol=tol, constraint_tol=tol)
        found, _ = optimize_model(
            model,
            solver,
            Metrics(),
            x,
            y[:, None],
            regularizer=NeuronGL1(beta / len(x)),
            unitize_data=False,
            dtype=dtype,
        )
        seconds = time.perf_counter() - start
        value = balanced_objective(x, y, beta, found.parameters)
        print(f"{gates},{tol:g},{dtype},{seconds:.1f},{value:.9f},{value / OPTIMUM - 1:.2e}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
