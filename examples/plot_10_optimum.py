r"""
The optimum of a two-layer network
==================================

Training a two-layer ReLU network with weight decay is not convex in its weights :math:`w_j, a_j`:

.. math:: \min \; \tfrac12 \sum_i \Bigl(\sum_j a_j \max(w_j \cdot x_i, 0) - y_i\Bigr)^2
   + \tfrac\beta2 \sum_j \bigl(|w_j|^2 + a_j^2\bigr).

But it is a convex problem for the measure that puts the mass :math:`|a_j| |w_j|` at the direction of :math:`w_j`
(Bach 2017; Pilanci, Ergen 2020). Its dual gives a lower bound for every network of every width: if

.. math:: \Bigl|\sum_i \nu_i \max(x_i \cdot u, 0)\Bigr| \le \beta \quad \text{for all } |u| \le 1,

no objective is below :math:`\nu \cdot y - |\nu|^2/2`. With two inputs, the last one being 1 for a bias, all directions
lie on a circle, and the largest violation can be found exactly.
"""

import matplotlib.pyplot as plt
import numpy as np

from epsnet.optimization.certificate import certify_network
from epsnet.optimization.optimum_figures import draw_dual_function, draw_gap
from epsnet.optimization.train_global import train_global
from epsnet.optimization.two_layer import train_locally, two_layer_network

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (100, 1))
y = np.sin(3 * x[:, 0]) + np.abs(x[:, 0]) + 0.1 * rng.normal(size=100)
best = train_global(x, y, 0.5, biases=True)
print(best)

# %%
# At the optimum the dual function touches 1 and -1 exactly where the neurons are.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
draw_gap(left, best)
draw_dual_function(right, best)

# %%
# Local training of networks of fixed width gets there, if they are wide enough; the certificate says so of any weights.

for width in (2, 5, 30):
    weights = train_locally(best.problem, rng.normal(size=(width, 2)), rng.normal(size=width))
    local = certify_network(best.problem, two_layer_network(*weights))
    excess = local.primal.value - best.certificate.dual.value
    print(f"width {width:>2}: {excess / best.certificate.dual.value:.1e} above the optimum, {local.primal.kind.value}")

assert best.certificate.relative_gap < 1e-9 and excess / best.certificate.dual.value < 1e-3
