"""The same Hessians by PyHessian 0.1, in an environment of its own.

    python -m venv pyhessian && pyhessian/bin/pip install pyhessian==0.1
    pyhessian/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
    pyhessian/bin/python peer.py DIRECTORY > results/pyhessian.csv

The default tolerance is 1e-3 for both methods, with 100 steps at most. The tight setting lets the power iteration take
10,000 steps for each eigenvalue down to changes of 1e-12, and Hutchinson's mean 10,000 probes down to changes of 1e-7.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from pyhessian import hessian

SETTINGS = {
    "default float32": (torch.float32, {}, {}, range(10)),
    "default float64": (torch.float64, {}, {}, range(10)),
    "tight float64": (torch.float64, {"maxIter": 10_000, "tol": 1e-12}, {"maxIter": 10_000, "tol": 1e-7}, range(3)),
}


def model(data, dtype):
    """Return the network with the stored weights."""
    layers = []
    for number in "12":
        weight, bias = (torch.tensor(data[f"{name}{number}"], dtype=dtype) for name in "ab")
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
        linear.weight.data, linear.bias.data = weight, bias
        layers.append(linear)
    return torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])


def main(directory):
    """Print a line for each network, setting and seed."""
    torch.set_num_threads(1)
    print("weights,setting,seed,eigenvalues,trace,seconds_eigenvalues,seconds_trace,density")
    for path in sorted(directory.glob("*.npz"), key=lambda path: int(path.stem)):
        data = np.load(path)
        for setting, (dtype, power, probes, seeds) in SETTINGS.items():
            torch.set_default_dtype(dtype)
            sample = torch.tensor(data["x"], dtype=dtype), torch.tensor(data["y"])
            for seed in seeds:
                torch.manual_seed(seed)
                start = time.perf_counter()
                found = hessian(model(data, dtype), torch.nn.CrossEntropyLoss(), data=sample, cuda=False)
                values, _ = found.eigenvalues(top_n=5, **power)
                middle = time.perf_counter()
                trace = np.mean(found.trace(**probes))
                end = time.perf_counter()
                text = " ".join(repr(float(value)) for value in values)
                print(
                    f"{path.stem},{setting},{seed},{text},{trace!r},{middle - start:.2f},{end - middle:.2f},"
                    f"{density(found)}",
                    flush=True,
                )


def density(found):
    """Return "computed", or the error that the density ends with."""
    try:
        found.density(iter=20)
    except (AttributeError, RuntimeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}".replace(",", " ")
    return "computed"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
