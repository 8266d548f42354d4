"""10,000 damaged `.eps` files of every kind: no crash, no silent acceptance, bounded time and memory.

    OMP_NUM_THREADS=1 python benchmarks/codec/fuzz.py

A third of the files keep the checksum of the original; all of them must be refused. A third has a forged checksum, and
in a third the proof is damaged before it is compressed, so that the readers behind are hit: what they return is a
network alone, a program alone, or something with a certificate, which the checker must refuse unless every claim in it
holds of the very network in the file.
The mutations are those of tests/codec/test_files.py. Results are written to results/fuzz.csv beside this file.
"""

from __future__ import annotations

import csv
import random
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "codec"))
from test_files import SUBJECTS, circuit, damaged, damaged_inside, forged

from epsnet.approximation.programs import prove
from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, CheckError
from epsnet.checker.kernel import check
from epsnet.codec.circuits import Program, encode_program
from epsnet.codec.files import decode_file, encode_file
from epsnet.codec.format import encode
from epsnet.core.solution import Solution, Statements
from epsnet.core.target import Target

COUNT = 10_000
WAYS = ("as found", "checksum forged", "inside the proof")


def outcome(content: bytes, known: set[str]) -> str:
    """Return what a reader and the checker make of a file."""
    try:
        found = decode_file(content)
        if isinstance(found, Program):
            try:
                return "a program, proved" if check(prove(found)).checked else "crash"
            except CertificateError:
                return "a program, not proved"
        if not isinstance(found, Solution | Statements):
            return "a network alone"
        same = found.network.sha256 in known
        checked = check(found).checked
        weak = any(bound.kind is Kind.ESTIMATED for bound in checked)
        return "certified: the network of a source" if same and not weak else "SILENT ACCEPTANCE"
    except CheckError:
        return "refused"
    except Exception as error:
        return f"CRASH {type(error).__name__}: {error}"


def main() -> None:
    """Damage, read, count."""
    subjects = [SUBJECTS[name]() for name in ("formula", "networks", "statements")]
    known = {subject.network.sha256 for subject in subjects}
    program = Program(Target("x^2", Box(-1, 1)), 1, circuit())
    contents = [encode_program(program), encode(subjects[0].network), *map(encode_file, subjects)]
    rng, counts, slowest = random.Random(0), Counter(), 0.0
    tracemalloc.start()
    for number in range(COUNT):
        how = WAYS[number // len(contents) % len(WAYS)]
        sources = contents[2:] if how == WAYS[2] else contents
        content, other = sources[number % len(sources)], sources[rng.randrange(len(sources))]
        if how == WAYS[2]:
            changed = damaged_inside(rng, content, other)
        else:
            changed = damaged(rng, content, other)
            changed = changed if how == WAYS[0] else forged(changed.ljust(9, b"\0"))
        if changed in contents:
            counts["the original", how] += 1
            continue
        start = time.perf_counter()
        counts[outcome(changed, known), how] += 1
        slowest = max(slowest, time.perf_counter() - start)
    memory = tracemalloc.get_traced_memory()[1]
    with (Path(__file__).parent / "results" / "fuzz.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("outcome", "damage", "files"))
        writer.writerows((name, how, count) for (name, how), count in sorted(counts.items()))
        writer.writerow(("slowest file in seconds", "", f"{slowest:.2f}"))
        writer.writerow(("peak memory in MiB", "", f"{memory / 2**20:.0f}"))
    print((Path(__file__).parent / "results" / "fuzz.csv").read_text())


if __name__ == "__main__":
    main()
