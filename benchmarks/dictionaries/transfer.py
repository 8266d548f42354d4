"""N-term expansions as networks, measured: weights of each atom, and certified errors, for ten dictionaries.

    python benchmarks/dictionaries/transfer.py [TERMS ...]

writes to results/: transfer_atoms.csv (for N = 10, 30, 100, 300, 1000 or the given numbers: M/N, depth, magnitude, the
certified distance in the sup norm of network and expansion with its part from rounding, the relative L2 error of the
expansion, and the seconds to build and to check) and transfer_atoms.png. One core, about ten minutes.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

from epsnet.checker.kernel import check
from epsnet.experiments import Finished
from epsnet.studies import transfer as study

RESULTS = Path(__file__).parent / "results"
HEADER = (
    "dictionary", "terms", "weights/term", "depth", "magnitude", "certified error", "of which rounding",
    "L2 error of the expansion", "kind", "seconds to build", "seconds to check",
)  # fmt: skip


def main() -> None:
    """Measure every dictionary for every number of terms."""
    RESULTS.mkdir(exist_ok=True)
    counts = [int(text) for text in sys.argv[1:]] or study.COUNTS
    finished = []
    with (RESULTS / "transfer_atoms.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for terms in counts:
            for family in study.FAMILIES:
                case = {"dictionary": family.name, "terms": terms}
                found, off = study.expanded(family, terms)
                start = time.perf_counter()
                result = study.network_of(found)
                built = time.perf_counter()
                check(result.solution())
                row = study.record(result, off)
                finished.append(Finished(case, row, 0.0))
                writer.writerow((
                    family.name, terms, f"{row['weights'] / terms:.2f}", row["depth"], f"{row['magnitude']:.4g}",
                    f"{row['error']:.2e}", f"{row['rounding']:.1e}", f"{off:.2e}", row["kind"],
                    f"{built - start:.1f}", f"{time.perf_counter() - built:.1f}",
                ))  # fmt: skip
                file.flush()
                print(family.name, terms, f"{row['weights'] / terms:.2f}", f"{row['error']:.2e}", flush=True)
    study.draw(finished, study.analyze(finished)).savefig(RESULTS / "transfer_atoms.png", dpi=110)


if __name__ == "__main__":
    main()
