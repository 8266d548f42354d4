r"""
Tampering with a certificate
============================

A certificate is a list of claims. Each names its theorem, the rule by which it follows and the hashes of the
network and the target it is about; some bring a witness, data that makes the claim cheap to verify. The checker
recomputes the hashes, walks from premises to conclusions and verifies each witness. It never searches, and it calls
nothing of what built the network.

So whoever wants to pass off a wrong bound has three ways, and all three end in a ``CheckError``:

1. change the network and keep the certificate,
2. change the network and the hashes in the certificate,
3. keep the network and claim a smaller error.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import epsnet as en

solution = en.learn(en.Target("sin(3*x)", domain=en.Box(-1, 1)), eps="0.01")
print(en.check(solution))


def refusal(subject):
    """Return why the checker refuses a solution; complain if it does not."""
    try:
        en.check(subject)
    except en.CheckError as error:
        return str(error)
    raise AssertionError("the checker was fooled")


# %%
# **1. Another network.** One weight of the last layer grows by one percent. The picture shows that the claim has become
# false: the error leaves the band.

pairs = [(layer.terms[0][1].weight.copy(), layer.bias) for layer in solution.network.layers]
pairs[1][0][0, 2] *= 1.01
tampered = en.Network.from_layers(pairs)

x = np.linspace(-1, 1, 2001)
band = solution.error.value
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.axhspan(-band, band, color="#009E73", alpha=0.15, label=r"$|F - \Phi| \leq 0.01$, VERIFIED")
axes.plot(x, np.sin(3 * x) - en.realize(solution.network, x), color="#0072B2", label="certified network")
axes.plot(x, np.sin(3 * x) - en.realize(tampered, x), color="#D55E00", label="one weight changed by 1 %")
axes.set(xlabel="x", ylabel=r"$F - \Phi$, sampled")
axes.legend(frameon=False, loc="lower left")
axes.spines[["top", "right"]].set_visible(False)

# %%
# The hash of the network is another one, so the claims are about another network.

first = refusal(dataclasses.replace(solution, network=tampered))
print(first)

# %%
# **2. Another network, and hashes to match.** In the stored files the hash can be replaced by that of the tampered
# network. Now the claims are about the right object, but they do not hold: the cover of the domain is verified
# anew, cell by cell.

with tempfile.TemporaryDirectory() as folder:
    en.save_solution(solution, folder)
    en.save_network(tampered, Path(folder) / "network.safetensors")
    path = Path(folder) / "solution.json"
    path.write_text(path.read_text().replace(solution.network.sha256, tampered.sha256))
    second = refusal(folder)
print(second)

# %%
# **3. A better bound.** The network stays; every error claim is made one percent smaller.

with tempfile.TemporaryDirectory() as folder:
    en.save_solution(solution, folder)
    path = Path(folder) / "solution.json"
    stored = json.loads(path.read_text())
    for node in stored["certificate"]:
        if node["claim"]["quantity"] == "error":
            node["claim"] |= {"value": 0.99 * node["claim"]["value"], "exact": None}
    path.write_text(json.dumps(stored))
    third = refusal(folder)
print(third)

# %%
# Each message says which claim does not hold, and why.

assert "the hash differs" in first
assert all(text.startswith("Claim ") for text in (first, second, third))
assert np.abs(np.sin(3 * x) - en.realize(tampered, x)).max() > band
