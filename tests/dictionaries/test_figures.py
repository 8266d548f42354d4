"""The picture of N-term approximations: what it shows are the numbers of `n_term`."""

from __future__ import annotations

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.n_term import psnr, squared_errors, threshold, thresholding_pursuit
from epsnet.dictionaries.shearlets import Shearlets

pytest.importorskip("matplotlib")

from epsnet.dictionaries.figures import bits_figure, n_term_figure

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


def test_another_method_is_used_for_images_and_curves():
    frame = Gabor((32, 32), 8)
    images, curves = n_term_figure(IMAGE, [frame], 20, [10, 20], method=thresholding_pursuit).axes[1:]
    expected = thresholding_pursuit(frame, IMAGE, 20).signal()
    np.testing.assert_array_equal(images.images[0].get_array(), expected)
    assert curves.lines[0].get_ydata()[1] == psnr(np.mean((expected - IMAGE) ** 2))


def test_error_against_bits_with_the_entropy_line():
    curves = {"one": ([100, 200], [0.1, 0.05]), "two": ([80], [0.2])}
    figure = bits_figure(curves, entropy=("entropy", [9, 19], [0.1, 0.05]))
    *found, line = figure.axes[0].lines
    for own, (bits, errors) in zip(found, curves.values(), strict=True):
        np.testing.assert_array_equal(own.get_xydata().T, [bits, errors])
    np.testing.assert_array_equal(line.get_xydata().T, [[9, 19], [0.1, 0.05]])
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"
    assert len(bits_figure(curves).axes[0].lines) == 2


def test_what_is_no_picture_is_refused():
    with pytest.raises(DomainError):
        bits_figure({})
    with pytest.raises(DomainError):
        n_term_figure(IMAGE, [], 5, [1])
    with pytest.raises(DomainError):
        n_term_figure(IMAGE[0], [Gabor((32,), 8)], 5, [1])
