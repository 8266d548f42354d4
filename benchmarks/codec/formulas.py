"""Bytes of proved networks for formulas to 1e-6: as a program, as an `.eps` file, and with the proof in the file.

    OMP_NUM_THREADS=1 python benchmarks/codec/formulas.py

Every file is read back, and its error is proved again by the checker from what was read. Results are written to
results/formulas.csv beside this file.
"""

from __future__ import annotations

import csv
import time
from fractions import Fraction
from pathlib import Path

from epsnet.approximation.programs import prove, shortest_program
from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import EpsnetError
from epsnet.checker.kernel import check
from epsnet.codec.circuits import encode_program
from epsnet.codec.files import decode_file, encode_file, sections
from epsnet.codec.format import encode, length_bound
from epsnet.core.serial import network_bytes
from epsnet.core.target import Target

EPS = Fraction(1, 10**6)
FORMULAS = (
    ("exp(x)", 0, 1), ("1/x", 1, 2), ("sqrt(x)", 1, 4), ("sin(x)", "-3.141592653589794", "3.141592653589794"),
    ("exp(-x^2)", -2, 2), ("tanh(x)", -4, 4),
)  # fmt: skip
HEAD = (
    "formula", "domain", "weights", "error", "program bytes", "eps bytes", "eps bound", "with proof", "safetensors",
    "seconds",
)  # fmt: skip


def measure(formula: str, low: int | str, high: int | str) -> tuple[object, ...]:
    """Return a row of the table."""
    start, target = time.perf_counter(), Target(formula, Box(low, high))
    program, _ = shortest_program(target, EPS)
    seconds = time.perf_counter() - start
    written = encode_program(program)
    solution = prove(decode_file(written))
    whole = encode_file(solution)
    error = check(decode_file(whole)).error
    if error is None or error.kind is not Kind.VERIFIED or error.limit > EPS:
        raise SystemExit("The decoded network is not within eps.")
    network = solution.network
    lengths = (len(encode(network)), -(-length_bound(network) // 8), len(whole), len(network_bytes(network)))
    print(formula, sections(whole))
    return (
        formula, f"{low}..{high}", network.size.weights, f"{error.value:.6g}", len(written), *lengths, f"{seconds:.0f}",
    )  # fmt: skip


def main() -> None:
    """Measure and write the table."""
    with (Path(__file__).parent / "results" / "formulas.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for case in FORMULAS:
            try:
                row = measure(*case)
            except EpsnetError as error:
                row = (case[0], f"{case[1]}..{case[2]}", str(error))
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
