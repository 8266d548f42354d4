r"""
The calculus of networks
========================

Networks can be composed, put side by side and added, and the results are networks again: exactly, as functions, and
with sizes that are known beforehand. Let :math:`\Phi_i` have depth :math:`L_i` and :math:`M_i` nonzero weights.
Then

.. math::

   R(\Phi_1 \circ \Phi_2) = R(\Phi_1) \circ R(\Phi_2), \qquad L = L_1 + L_2 - 1,

   R(P(\Phi_1, \Phi_2)) = (R(\Phi_1), R(\Phi_2)), \qquad M = M_1 + M_2 \quad \text{for } L_1 = L_2,

   R(\Phi_1 + \Phi_2) = R(\Phi_1) + R(\Phi_2).

Composition is what depth can do and width cannot. The hat function

.. math:: g(x) = \mathrm{ReLU}\bigl(2\, \mathrm{ReLU}(x) - 4\, \mathrm{ReLU}(x - \tfrac12)\bigr)

maps :math:`[0, 1]` twice onto itself, so its :math:`k`-fold composition has :math:`2^k` linear pieces, with a number of
weights that grows linearly in :math:`k`. A network with one hidden layer needs a neuron for almost every piece.
"""

import matplotlib.pyplot as plt
import numpy as np

import epsnet as en

# %%
# The hat on :math:`[0, 1]`, where the outer ReLU does nothing, and its compositions. ``compose`` merges the two
# affine maps at the seam into one.

hat = en.Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
teeth = [hat]
for _ in range(4):
    teeth.append(en.compose(hat, teeth[-1]))
for k, network in enumerate(teeth, start=1):
    print(f"k = {k}: {2**k:2} pieces, {network}")

# %%
# All weights and all points :math:`j / 2^{10}` are float64 numbers with few digits, so float64 evaluation is exact
# here, and ``==`` is the right comparison.

x = np.arange(2**10 + 1) / 2**10
value = x
for network in teeth:
    value = np.where(value <= 0.5, 2 * value, 2 - 2 * value)
    assert (en.realize(network, x) == value).all()

figure, row = plt.subplots(1, 4, figsize=(9, 2.4), sharey=True, layout="constrained")
for k, axes in enumerate(row, start=1):
    axes.plot(x, en.realize(teeth[k - 1], x), color="#0072B2")
    axes.set_title(f"k = {k}, M = {teeth[k - 1].size.weights}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)

# %%
# A sum of teeth with the factors :math:`4^{-k}` is what deep networks make of the parabola: Yarotsky's
#
# .. math:: f_m(x) = x - \sum_{k=1}^m \frac{g^{\circ k}(x)}{4^k}, \qquad \sup_{[0,1]} |x^2 - f_m(x)| = 4^{-m-1}.
#
# ``add`` lengthens the shorter networks by layers that carry their signals, and puts all of them side by side.

m = 3
parts = [en.identity(1, 1), *(en.scale(-(4.0**-k), teeth[k - 1]) for k in range(1, m + 1))]
parabola = en.add(*parts)
error = np.abs(x**2 - en.realize(parabola, x)).max()
print(parabola)
print(f"largest error on the grid {error}, 4^-{m + 1} = {4.0 ** -(m + 1)}")

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.plot(x, en.realize(parabola, x) - x**2, color="#D55E00", label=r"$f_3(x) - x^2$")
axes.axhline(4.0 ** -(m + 1), color="#009E73", linestyle="--", label=r"$4^{-4}$")
axes.set(xlabel="x", ylim=(0, 1.5 * 4.0 ** -(m + 1)))
axes.legend(frameon=False, ncols=2)
axes.spines[["top", "right"]].set_visible(False)

# %%
# The identities of sizes, as equations between integers.

pair = en.parallel(teeth[1], teeth[2], shared_input=False)
same_depth = en.parallel(teeth[2], teeth[2])
long = en.sparse_compose(hat, teeth[1])

assert [network.size.depth for network in teeth] == [2, 3, 4, 5, 6]
assert [network.size.neurons for network in teeth] == [2, 4, 6, 8, 10]
assert same_depth.size.weights == 2 * teeth[2].size.weights
assert same_depth.size.depth == teeth[2].size.depth
assert (pair.inputs, pair.outputs, pair.size.depth) == (2, 2, 4)
assert long.size.depth == hat.size.depth + teeth[1].size.depth
assert (en.realize(long, x) == en.realize(teeth[2], x)).all()
assert error == 4.0 ** -(m + 1)
