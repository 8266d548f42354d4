"""The same bytes in every mode: both JAX precisions, main thread or worker, with -O or without, one thread or two."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import jax  # in the mode under test, next to what must not depend on it
import epsnet as en
from epsnet.core.serial import network_bytes

CASES = [
    ("exp(x)", 0, 1, "1e-2"), ("gelu(x)", -4, 4, "1e-2"), ("sqrt(x)", 0, 1, "1e-2"),
    ("abs(x - 1/3)*tanh(x)", -2, 2, "3e-2"),
]

def work():
    lines = []
    for formula, low, high, eps in CASES:
        solution = en.learn(en.Target(formula, en.Box(low, high)), eps)
        lines.append(hashlib.sha256(network_bytes(solution.network)).hexdigest())
        lines.append(json.dumps([node for node in solution.certificate.to_json()], sort_keys=True))
    report = en.check(sys.argv[1])  # the stored network, certified anew
    lines.append(json.dumps([bound.to_json() for bound in report.checked], sort_keys=True))
    again = en.learn(en.load_solution(sys.argv[1]).target, "1e-3")
    lines.append(json.dumps(again.certificate.to_json(), sort_keys=True))
    return "\\n".join(lines)

if sys.argv[2] == "main":
    text = work()
else:
    with ThreadPoolExecutor(2) as pool:  # two at once: they share the precision of the ball arithmetic
        first, second = pool.submit(work), pool.submit(work)
        text = first.result()
        if second.result() != text:
            raise SystemExit("two threads disagree")
print(hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    import epsnet as en

    folder = tmp_path_factory.mktemp("stored")
    en.save_solution(en.learn(en.Target("exp(x)", en.Box(0, 1)), "1e-3"), folder)
    return folder


def test_bounds_are_byte_identical(stored):
    found = {}
    # Half of all modes: any three of the four settings occur in all combinations.
    for number in range(8):
        bits = [number >> place & 1 for place in range(3)]
        x64, where, flag = str(bits[0]), ("main", "worker")[bits[1]], ("", "-O")[bits[2]]
        threads = str(1 + sum(bits) % 2)
        limits = {name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        run = subprocess.run(
            [sys.executable, *([flag] if flag else []), "-c", PROGRAM, str(stored), where],
            capture_output=True, text=True, env={**os.environ, **limits, "JAX_ENABLE_X64": x64},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        found[x64, where, flag, threads] = run.stdout
    assert len(set(found.values())) == 1, found


COMPILATIONS = """
import numpy as np
import jax
events = []
jax.monitoring.register_event_duration_secs_listener(lambda name, seconds, **_: events.append(name))
import epsnet as en
for k in range(50):
    net = en.Network.from_layers([(np.ones((k + 1, 2)), np.zeros(k + 1)), (np.ones((1, k + 1)), [0.0])])
    net.size, net.sha256, en.realize(net, np.zeros((3, 2))), str(net)
    en.add(en.compose(en.scale(2, en.identity(1, 1)), net), net).size
solution = en.learn(en.Target("exp(x)", en.Box(0, 1)), "1e-2")
en.check(solution)
compiled = [name for name in events if "compile" in name]
if compiled:
    raise SystemExit(str(compiled))
jax.jit(lambda x: x + 1)(1.0)
if not any("compile" in name for name in events):
    raise SystemExit("the listener hears nothing")
"""


def test_constructing_counting_and_checking_compile_nothing():
    run = subprocess.run([sys.executable, "-c", COMPILATIONS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
