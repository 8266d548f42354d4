r"""
The exponential with the fewest pieces
======================================

How many linear pieces does a network need to stay within :math:`\varepsilon = 10^{-3}` of :math:`F(x) = e^x` on
:math:`[0, 1]`?

A network with one hidden layer of ReLU neurons computes a continuous piecewise-linear function,

.. math:: \Phi(x) = y_0 + \sum_{i=0}^{n-1} (m_i - m_{i-1}) \max(x - x_i, 0), \qquad m_{-1} = 0,

with :math:`n` pieces of slopes :math:`m_i` between the breakpoints :math:`x_i`. On a piece of length :math:`h` the best
line misses a function of curvature :math:`F''` by about :math:`h^2 F'' / 16`, so a piece may be
:math:`4 \sqrt{\varepsilon / F''}` long, and about

.. math:: n \approx \frac{1}{4 \sqrt{\varepsilon}} \int_0^1 \sqrt{F''(x)}\, dx
             = \frac{\sqrt{e} - 1}{2 \sqrt{\varepsilon}} = 10.26

pieces are needed. That is a heuristic. The answer below is a proof, for this very function and this very accuracy.
"""

import matplotlib.pyplot as plt
import numpy as np

import epsnet as en

# %%
# The target is a formula on an interval. The accuracy is a text, so that it means the decimal number 1/1000 and not the
# binary number next to it.

F = en.Target("exp(x)", domain=en.Box(0, 1))
solution = en.learn(F, eps="1e-3")
print(solution)

# %%
# Two bounds came back. ``error`` says that the network, as evaluated in float64, is within :math:`\varepsilon`
# everywhere on the interval. ``optimality`` says that no continuous function with 10 pieces is.
#
# Both are VERIFIED: enclosures in ball arithmetic and exact rationals, computed for this instance. Here is how the
# first one follows.

print(solution.error.explain())

# %%
# The picture shows where the pieces go, and the error, which touches the certified band on each of them.

x = np.linspace(0, 1, 2001)
kinks = np.unique(np.clip([-b for b in solution.network.layers[0].bias_values()], 0, 1))

figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5.5), sharex=True, height_ratios=(2, 1), layout="constrained")
above.plot(x, np.exp(x), color="#0072B2", linewidth=4, alpha=0.4, label=r"$F(x) = e^x$")
above.plot(x, en.realize(solution.network, x), color="#D55E00", linewidth=1.2, label=r"$\Phi$, 11 pieces")
above.plot(kinks, en.realize(solution.network, kinks), "o", color="#D55E00", markersize=4)
above.legend(frameon=False)
below.plot(x, np.exp(x) - en.realize(solution.network, x), color="#444444", linewidth=1, label=r"$F - \Phi$, sampled")
band = solution.error.value
below.axhspan(-band, band, color="#009E73", alpha=0.15, label=r"$|F - \Phi| \leq 10^{-3}$, VERIFIED")
below.set(xlabel="x", ylim=(-1.7 * band, 1.7 * band))
below.legend(frameon=False, ncols=2, loc="upper center")
for axes in (above, below):
    axes.spines[["top", "right"]].set_visible(False)

# %%
# The checker re-derives every claim from the network and the formula alone; it believes nothing that ``learn`` says.

report = en.check(solution)
print(report)

assert solution.error.value <= 1e-3
assert solution.error.kind is en.Kind.VERIFIED
assert solution.optimality.value == 11 == np.ceil((np.sqrt(np.e) - 1) / (2 * np.sqrt(1e-3)))
assert solution.size.weights == 33
