"""epsnet: the complex of a network; `run.py` starts it.

    python library.py NETWORK.npz box|space

Prints the f-vector, the seconds and processor seconds until it is known (on the whole space, with an interior point,
the affine map and the neighbors of every region), and the peak memory of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from epsnet.certify.domain import Box
from epsnet.core.network import Network
from epsnet.enclosure.complex import polyhedral_complex
from epsnet.enclosure.regions import regions


def main() -> None:
    """Measure once, after a warm-up on a small network."""
    with np.load(sys.argv[1]) as archive:
        arrays = [archive[name] for name in sorted(archive.files)]
    network = Network.from_layers(list(zip(arrays[::2], arrays[1::2], strict=True)))
    d = network.inputs
    domain = Box([-1] * d, [1] * d) if sys.argv[2] == "box" else None
    regions(polyhedral_complex(Network.from_layers([([[1.0]], [0.1]), ([[1.0]], [0.0])]), None)).neighbors()
    start, used = time.perf_counter(), time.process_time()
    found = polyhedral_complex(network, domain)
    counts = found.f_vector()
    row = {"f_vector": counts, "regions": counts[-1]}
    if sys.argv[2] == "space":
        parts = regions(found)
        parts.points(), parts.affine_maps(), parts.neighbors()
    row |= {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
    row["GiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
