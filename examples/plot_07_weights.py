r"""
Weights against accuracy: who wins when
=======================================

How many weights :math:`M` does a ReLU network need to be within :math:`\varepsilon` of a smooth function?

* One hidden layer is a polygon. The fewest pieces are :math:`n \sim \tfrac14 \varepsilon^{-1/2} \int \sqrt{|F''|}`,
  and a piece costs three weights, so :math:`M \sim C \varepsilon^{-1/2}`: slope :math:`-\tfrac12` in a log-log plot.
* A polygon with bubbles is piecewise quadratic: one chain of squarings bends all its pieces, whose number grows like
  :math:`\varepsilon^{-1/3}`.
* A deep network squares again and again: every layer halves the length of the pieces, so that an analytic function
  takes a number of weights that grows like a power of :math:`\log(1/\varepsilon)`. In the same plot its slope tends to
  zero.

So the polygon wins where :math:`\varepsilon` is large and deep networks where it is small. We look where they cross
for :math:`F(x) = e^x` on :math:`[0, 1]`.
"""

import matplotlib.pyplot as plt
import numpy as np

import epsnet as en

# %%
# Every number is the size of a network that was built and whose error the checker re-proved. To compare another
# strategy, add its name.

F = en.Target("exp(x)", domain=en.Box(0, 1))
methods = {"piecewise-linear": "#0072B2", "hp": "#009E73", "deep": "#D55E00"}
accuracies = ["1e-1", "1e-2", "1e-3", "1e-4", "1e-5"]
eps = np.array([float(text) for text in accuracies])

solutions = {method: [en.learn(F, eps=text, method=method) for text in accuracies] for method in methods}
weights = {method: np.array([solution.size.weights for solution in found]) for method, found in solutions.items()}
for method, counts in weights.items():
    print(f"{method:16} M = {', '.join(map(str, counts))}")

# %%
# The slopes are fitted to the three smallest accuracies.

slopes = {method: np.polyfit(np.log(eps[-3:]), np.log(counts[-3:]), 1)[0] for method, counts in weights.items()}
for method, value in slopes.items():
    print(f"{method:16} slope {value:.3f}")

# %%
# The dashed line has the predicted slope :math:`-\tfrac12` and goes through the last polygon.

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for method, color in methods.items():
    axes.loglog(eps, weights[method], "o-", color=color, label=f"{method}, slope {slopes[method]:.2f}")
last = weights["piecewise-linear"][-1]
axes.loglog(eps, last * (eps / eps[-1]) ** -0.5, "--", color="#777777", label=r"slope $-1/2$")
axes.invert_xaxis()
axes.set(xlabel=r"accuracy $\varepsilon$", ylabel="weights $M$")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %%
# The claims: all errors are certified, the polygons follow the rate, the other networks are flatter, and they win at
# the smallest accuracies.

for found in solutions.values():
    assert all(solution.error.kind is en.Kind.VERIFIED for solution in found)
    assert all(solution.error.value <= float(text) for solution, text in zip(found, accuracies, strict=True))
assert abs(slopes["piecewise-linear"] + 0.5) < 0.03
assert slopes["hp"] > -0.4 and slopes["deep"] > -0.3
assert weights["piecewise-linear"][2] < weights["deep"][2]
assert max(weights["hp"][-1], weights["deep"][-1]) < 0.6 * weights["piecewise-linear"][-1]
