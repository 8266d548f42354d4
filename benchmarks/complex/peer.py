"""relucent: the activation regions of a network on the whole space. Runs in the environment of the peer.

    python peer.py NETWORK.npz WORKERS

Prints the number of regions, and the seconds and processor seconds (workers included) of the breadth-first search,
without its verification, after a warm-up.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
from relucent import Complex
from relucent.model.model import LinearLayer, ReLULayer, ReLUNetwork


def main() -> None:
    """Measure once."""
    with np.load(sys.argv[1]) as archive:
        arrays = [archive[name] for name in sorted(archive.files)]
    layers: list = []
    for weight, bias in zip(arrays[::2], arrays[1::2], strict=True):
        layers += [LinearLayer(weight, bias), ReLULayer()]
    network = ReLUNetwork(layers[:-1])
    options = {"nworkers": int(sys.argv[2]), "verify": False, "verbose": 0}
    Complex(network).bfs(max_polys=4, **options)
    start, used = time.perf_counter(), sum(os.times()[:4])
    found = Complex(network)
    found.bfs(**options)
    row = {"regions": len(found), "seconds": time.perf_counter() - start, "cpu": sum(os.times()[:4]) - used}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
