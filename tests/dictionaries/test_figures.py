"""The picture of N-term approximations: what it shows are the numbers of `n_term`."""

from __future__ import annotations

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.n_term import psnr, squared_errors, threshold
from epsnet.dictionaries.shearlets import Shearlets

pytest.importorskip("matplotlib")

from epsnet.dictionaries.figures import n_term_figure

IMAGE = np.random.default_rng(0).random((32, 32)).cumsum(0)


def test_images_and_curves_are_those_of_the_approximation(tmp_path):
    dictionaries, counts = [Gabor((32, 32), 8), Shearlets(32)], [10, 100, 500]
    figure = n_term_figure(IMAGE, dictionaries, 50, counts)
    *images, curves = figure.axes
    np.testing.assert_array_equal(images[0].images[0].get_array(), IMAGE)
    for axes, line, dictionary in zip(images[1:], curves.lines, dictionaries, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), threshold(dictionary, IMAGE, 50).signal())
        np.testing.assert_array_equal(line.get_ydata(), psnr(squared_errors(dictionary, IMAGE, counts)))
    figure.savefig(tmp_path / "figure.png")


def test_what_is_no_picture_is_refused():
    with pytest.raises(DomainError):
        n_term_figure(IMAGE, [], 5, [1])
    with pytest.raises(DomainError):
        n_term_figure(IMAGE[0], [Gabor((32,), 8)], 5, [1])
