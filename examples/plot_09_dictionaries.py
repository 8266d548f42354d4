r"""
Dictionaries, singularities, and networks
=========================================

A dictionary is optimal for a class of functions if sums of few of its atoms are as close as any code allows. Which one
that is depends on the singularities: wavelets for points, ridgelets for straight lines, shearlets for curves, Gabor
frames for oscillations. For a cartoon, smooth up to a :math:`C^2` curve, the squared error of :math:`N` terms is

.. math:: \sigma_N^2 \sim N^{-1} \quad\text{(wavelets)}, \qquad
          \sigma_N^2 \le C N^{-2} (\log N)^3 \quad\text{(shearlets)}.

If every atom is a network with :math:`O(1)` weights, every sum of :math:`N` atoms is one with :math:`O(N)`: networks
are optimal for every class that has an optimal dictionary.
"""

import matplotlib.pyplot as plt
import numpy as np

import epsnet as en
from epsnet.codec.format import encode, length_bound
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.figures import draw_bits, draw_curves
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.n_term import threshold, thresholding_pursuit
from epsnet.dictionaries.shearlets import Shearlets
from epsnet.dictionaries.sigmoidal import softplus_network
from epsnet.dictionaries.transfer import linear_wavelet_network
from epsnet.dictionaries.warped import warped
from epsnet.dictionaries.wavelets import Wavelets
from epsnet.studies.singularities import image

# %%
# Two images of 128 x 128 pixels, and what 200 atoms make of them. The frames are redundant: their largest coefficients
# repeat each other, and hard thresholding pursuit chooses better ones.

side, terms = 128, 200
dictionaries = [Wavelets("bior4.4", (side, side), 5), Gabor((side, side), 32), Shearlets(side)]


def choose(dictionary, picture, count):
    """Return the terms: those of pursuit for a frame, the largest for a basis."""
    return (thresholding_pursuit if dictionary.parseval else threshold)(dictionary, picture, count)


figure, rows = plt.subplots(2, 5, figsize=(12, 4.8), layout="constrained", width_ratios=(1, 1, 1, 1, 1.6))
ratios = {}
for name, axes in zip(("flower", "texture"), rows, strict=True):
    picture = image(name, side)
    shown = {name: picture, **{each.name: choose(each, picture, terms).signal() for each in dictionaries}}
    for (title, part), panel in zip(shown.items(), axes, strict=False):
        panel.imshow(part, cmap="gray", vmin=picture.min(), vmax=picture.max())
        panel.set(xticks=[], yticks=[], title=title)
    draw_curves(axes[-1], picture, dictionaries, [100, 200, 400], peak=1.0, method=choose)
    ratios[name] = [line.get_ydata()[1] for line in axes[-1].lines]

# %%
# An expansion as a network. The wavelets CDF(2,2) are piecewise linear, so :math:`N` terms are a ReLU network exactly,
# with about twelve weights for each term. Rounding the coefficients to a grid makes a file of
# :math:`C N \log N` bits.

basis = LinearWavelets(10)
nodes = np.linspace(0, 1, basis.size)
values = np.sqrt(np.abs(nodes - 1 / 3))
bits, sup = [], []
for count in (8, 16, 32, 64):
    found = threshold(basis, values, count)
    rounded = Expansion(basis, found.indices, np.round(found.coefficients * 2**12) / 2**12)
    network = linear_wavelet_network(rounded)
    assert np.abs(en.realize(network, nodes) - rounded.signal()).max() <= 1e-13
    content = encode(network)
    assert 8 * len(content) <= length_bound(network)
    bits.append(8 * len(content))
    sup.append(np.abs(rounded.signal() - values).max())
    print(f"N = {count:2}: {network.size.weights} weights, {bits[-1]} bits, sup error {sup[-1]:.3f}")
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
draw_bits(axes, {"N terms": (bits, sup)})

# %%
# The atoms need no kinks: :math:`\mathrm{softplus}(\lambda t)/\lambda` is within :math:`(\log 2)/\lambda` of ReLU, so
# the number of weights does not depend on the accuracy.

smooth = [softplus_network(rounded, eps) for eps in (1e-1, 1e-2, 1e-3)]
print([(each.network.size.weights, float(each.network.size.magnitude), each.error) for each in smooth])

# %%
# And the class may be warped, or live on a curve: the network of a chart is put in front, and weights add up.

chart = en.learn(en.Target("y/sqrt(x^2 + y^2)", en.Box((0.5, 0), (1, 0.5))), 1e-3).network
curve = warped(network, chart)
points = np.stack([np.cos(np.linspace(0, 0.5, 400)), np.sin(np.linspace(0, 0.5, 400))], axis=1)
off = np.abs(en.realize(curve, points).ravel() - np.interp(points[:, 1], nodes, rounded.signal())).max()
print(f"{network.size.weights} + {chart.size.weights} + 4 weights on an arc of the circle, seen error {off:.3f}")

assert max(ratios["flower"]) == ratios["flower"][2]
assert ratios["texture"][1] > ratios["texture"][0] + 20
assert len({each.network.size.weights for each in smooth}) == 1
assert curve.size.weights == network.size.weights + chart.size.weights + 4
