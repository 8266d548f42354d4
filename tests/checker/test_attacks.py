"""A thousand forgeries of each sort, with every hash rebuilt: none is accepted, in any mode of the interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ATTACK = Path(__file__).with_name("attack.py")


def attack(kind, count, *flags, **environment):
    run = subprocess.run(
        [sys.executable, *flags, str(ATTACK), kind, str(count)],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return json.loads(run.stdout)


@pytest.mark.parametrize(("kind", "by_hash"), [("weights", 0), ("values", 0), ("untouched", 1000)])
def test_a_thousand_forgeries_are_rejected(kind, by_hash):
    assert attack(kind, 1000) == {"forgeries": 1000, "rejected": 1000, "by_hash": by_hash, "honest_accepted": 5}


@pytest.mark.parametrize("kind", ["weights", "values"])
def test_optimized_python_and_disabled_jax_checks_change_nothing(kind):
    found = attack(kind, 1000, "-O", EQX_ON_ERROR="off", JAX_ENABLE_X64="1")
    assert (found["rejected"], found["by_hash"], found["honest_accepted"]) == (1000, 0, 5)
