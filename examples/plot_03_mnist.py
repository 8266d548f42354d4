r"""
Handwritten digits with a bound on the risk
===========================================

A network is trained on images :math:`x_i` of digits with labels :math:`y_i`. What can be said about images that it
has never seen? Let :math:`R = P(\Phi(X) \ne Y)` be its risk under the distribution of the data. If the network was
fixed before :math:`n` independent test points were drawn, its number :math:`K` of errors on them is binomial,

.. math:: P(K = k) = \binom{n}{k} R^k (1 - R)^{n-k}.

So every :math:`R` for which so few errors as :math:`k` have a probability below :math:`\delta` can be ruled out
with confidence :math:`1 - \delta`. What remains is the bound of Clopper and Pearson (1934): :math:`R \le U(k)`,
where

.. math:: \sum_{i \le k} \binom{n}{i} U(k)^i (1 - U(k))^{n-i} = \delta.

No property of the network enters: it may be of any size, trained in any way.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import beta

import epsnet as en

# %%
# We take the first 12,000 of the 60,000 training images and train for ten epochs, so that this page is quick to
# build; ``epsnet learn mnist`` takes all of them and a quarter of a minute. The test images are handed over as a
# function: they are read when the network is final.

train = en.load_mnist("train").take(np.arange(12_000), "12,000 digits")
solution = en.learn(train, test=lambda: en.load_mnist("test"), hidden=(20, 20), epochs=10, seed=0)
print(solution)

# %%
# The bound is STATISTICAL: true with confidence 0.99 over the drawing of the test sample. What no machine can
# check, that the points are independent and were not used in training, is printed with it.
#
# How training went, and the bound beside the error rate on the validation part:

epoch, empirical, validation, wrong = np.array(solution.stats["history"], dtype=float).T

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(epoch, empirical, color="#0072B2", label="empirical risk, training part")
left.plot(epoch, validation, color="#D55E00", label="empirical risk, validation part")
left.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None))
right.plot(epoch, wrong, color="#D55E00", label="wrong labels, validation part")
right.axhline(solution.error.value, color="#009E73", label="risk, at most, confidence 0.99")
right.set(xlabel="epoch", ylim=(0, 0.2))
for axes in (left, right):
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)

# %%
# Some of the test images that it gets wrong, with what it says.

test = en.load_mnist("test")
said = en.realize(solution.network, test.matrix()).argmax(axis=1)
errors = np.flatnonzero(said != test.labels)

figure, grid = plt.subplots(2, 8, figsize=(9, 2.8), layout="constrained")
for axes, index in zip(grid.flat, errors, strict=False):
    axes.imshow(test.inputs[index], cmap="gray_r")
    axes.set_title(f"{said[index]}, not {test.labels[index]}", fontsize=9)
    axes.axis("off")

# %%
# The equation for :math:`U(k)` has the solution :math:`1 - \delta` quantile of the beta distribution
# :math:`\mathrm{Beta}(k + 1, n - k)`. SciPy computes it by other means than epsnet, which encloses it.

k, n = len(errors), len(test)
quantile = beta.ppf(0.99, k + 1, n - k)
print(f"{k} errors in {n:,} images: risk <= {quantile:.6f}")
en.check(solution)

assert solution.error.kind is en.Kind.STATISTICAL
assert k == solution.stats["errors"]
assert abs(solution.error.value - quantile) < 1e-9
assert solution.error.value < 0.1
