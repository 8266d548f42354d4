r"""
Networks from other tools: ONNX
===============================

An ONNX file stores weights and a graph of tensor operations. epsnet reads it as a mathematical object: the network
:math:`\Phi` whose weights are the numbers in the file, in exact arithmetic. What a runtime makes of the file is another
function, because it rounds; for a dot product of length :math:`n`, in any order of summation,

.. math::

   |\mathrm{fl}(x \cdot y) - x \cdot y| \le \gamma_n |x| \cdot |y| + n \eta, \qquad \gamma_n = \frac{n u}{1 - n u},

with the unit roundoff :math:`u = 2^{-53}` in float64 and :math:`u = 2^{-24}` in float32 (and :math:`\eta` for
underflow). So a float64 file holds the same network, and its hash says so; a float32 file holds a neighbor.
"""

import tempfile
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnx.reference

import epsnet as en

# %%
# A network with random weights, as some other tool may have made it, goes into two files.

generator = np.random.Generator(np.random.Philox(0))
widths = [4, 32, 32, 2]
network = en.Network.from_layers(
    [(generator.normal(size=(n, d)) / np.sqrt(d), generator.normal(size=n) / 4) for d, n in pairwise(widths)]
)
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
en.save_onnx(network, folder / "double.onnx")
en.save_onnx(network, folder / "single.onnx", arithmetic="float32")

# %%
# Reading them back, and saying what is true of them.

double, single = en.load_onnx(folder / "double.onnx"), en.load_onnx(folder / "single.onnx")
print(en.inspect(folder / "double.onnx"))

# %%
# The same network has the same hash, whatever it was stored in.

for name, found in (("original", network), ("float64 file", double), ("float32 file", single)):
    print(f"{name:<13} {found.sha256[:16]}...")

# %%
# Now the files are run by the reference implementation of ONNX, in their own arithmetic, at 2,000 points. Both stay
# within a few rounding errors of the network.

points = generator.uniform(-1, 1, size=(2000, 4))
exact = en.realize(network, points)
runs = {}
for name, dtype in (("double", np.float64), ("single", np.float32)):
    session = onnx.reference.ReferenceEvaluator(str(folder / f"{name}.onnx"))
    runs[name] = np.abs(session.run(None, {"x": points.astype(dtype)})[0] - exact).max(axis=1)
temporary.cleanup()

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
bins = np.logspace(-19, -5, 57)
for (name, distance), color in zip(runs.items(), ("#0072B2", "#D55E00"), strict=True):
    axes.hist(np.maximum(distance, 1e-18), bins, color=color, label=f"{name} precision, at most {distance.max():.1e}")
axes.set(xscale="log", xlabel=r"distance from $\Phi$ (no difference is drawn at $10^{-18}$)", ylabel="points")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %%
# The distances were sampled: they are ESTIMATED. That the hashes agree is a fact.

assert double.sha256 == network.sha256 != single.sha256
assert double.size == network.size
assert (en.realize(double, points) == exact).all()
assert runs["double"].max() < 1e-14
assert 1e-8 < runs["single"].max() < 1e-5
