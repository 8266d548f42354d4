r"""
Layers that fold
================

A layer of :math:`n` ReLU neurons can fold :math:`\lfloor n/d \rfloor` copies of an interval onto one, in each of
:math:`d` coordinates. Whatever the next layer draws, it then draws in all of the :math:`\lfloor n/d \rfloor^d` boxes.
So some network with hidden layers of :math:`n_1, \dots, n_L \ge d` neurons has at least

.. math:: \prod_{l<L} \lfloor n_l/d \rfloor^d \; \sum_{j \le d} \binom{n_L}{j}

linear regions (Montúfar, Pascanu, Cho, Bengio 2014): exponentially many in the depth, while one layer has
polynomially many in its width. ``fold_network`` builds one, and its cells are counted in exact arithmetic, although it
is as degenerate as a network can be.
"""

import matplotlib.pyplot as plt

import epsnet as en
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.geometry.bounds import montufar_lower, serra_upper, zaslavsky
from epsnet.geometry.extremal import fold_network
from epsnet.geometry.figures import draw_bends, draw_regions, fold_groups

square = en.Box((0, 0), (1, 1))
widths = [(4,), (4, 4), (4, 4, 4)]
networks = [fold_network(2, own) for own in widths]
found = [certify_cells(network, square) for network in networks]
for own, each in zip(widths, found, strict=True):
    lower, upper = montufar_lower(2, own), serra_upper(2, own)
    print(f"{own}: {each.linear}, formula {lower}, no network has more than {upper}")

# %%
# Regions of one color are folded onto one region of the last layer. On the right the lines along which neurons change
# sign, by layer.

figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
draw_regions(axes[0], found[1].found, fold_groups(found[1].found, 4))
axes[0].set_title("4, 4: each color is one region of layer 2")
draw_regions(axes[1], found[2].found, fold_groups(found[2].found, 4))
axes[1].set_title("4, 4, 4: each color is one region of layer 3")
draw_bends(axes[2], found[2].found, [layer for layer in (1, 2, 3) for _ in range(4)])
axes[2].set_title("4, 4, 4: where neurons change sign")

# %%
# With twelve neurons in one layer there are at most as many regions as twelve lines in general position cut.

print("one layer of 12 neurons:", zaslavsky(2, 12))
assert [int(each.linear.value) for each in found] == [montufar_lower(2, own) for own in widths]
