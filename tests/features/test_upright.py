"""Upright images: moments, equivariance, and what cannot be sheared."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from epsnet.certify.errors import DomainError
from epsnet.features import enlarge, scattering_features, upright
from epsnet.features.maps import FeatureMap, upright_scattering


def stroke(slant, height=29, width=41):
    """Return an image of a stroke through the middle: a hat of two pixels in each row."""
    rows, columns = np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2
    return np.where(abs(rows) <= 9, np.maximum(0.0, 1 - abs(columns - slant * rows) / 2), 0.0)


def covariance(image):
    """Return cov(i, j) of the ink."""
    rows, columns = np.indices(image.shape)
    weights = image / image.sum()
    return (weights * (rows - (weights * rows).sum()) * (columns - (weights * columns).sum())).sum()


@pytest.mark.parametrize("slant", [-0.9, -0.3, 0.0, 0.5, 0.8])
def test_a_slanted_stroke_stands_upright(slant):
    image = stroke(slant)
    found = upright(image[None])[0]
    assert abs(covariance(found)) <= 0.01 * max(abs(covariance(image)), 1)
    # a place between two pixels is interpolated: the peak of the hat loses up to 1/4
    np.testing.assert_allclose(found, stroke(0.0), atol=0.26)


def test_the_ink_of_each_row_is_kept_and_mirrored_images_are_mirrored():
    images = np.pad(load_digits().images[:50], ((0, 0), (0, 0), (6, 6)))
    found = upright(images)
    np.testing.assert_allclose(found.sum(2), images.sum(2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(upright(images[:, :, ::-1]), found[:, :, ::-1], atol=1e-10)
    np.testing.assert_allclose(upright(images[:, ::-1]), found[:, ::-1], atol=1e-10)


def test_no_other_image_and_no_unit_matters():
    images = enlarge(load_digits().images[:40], 28, 28)
    found = upright(images)
    np.testing.assert_array_equal(upright(images[7:9]), found[7:9])
    np.testing.assert_array_equal(upright(images * 2.0**900), found * 2.0**900)


@pytest.mark.parametrize("image", [np.zeros((5, 5)), np.eye(5)[:1].repeat(1, 0), np.eye(9) * 0 + np.eye(9)[4]])
def test_images_without_a_slant_stay(image):
    np.testing.assert_allclose(upright(image[None])[0], image, atol=1e-12)


def test_the_feature_map_is_scattering_of_upright_images():
    data = load_digits().data[:5]
    features = upright_scattering()
    expected = scattering_features(upright(enlarge(data.reshape(-1, 8, 8), 28, 28)))
    np.testing.assert_array_equal(features(data), expected)
    assert FeatureMap(features.code) == features
    assert "upright" in str(features)


@pytest.mark.parametrize("images", [np.zeros((3, 3)), np.full((1, 3, 3), np.inf), np.zeros((1, 3, 3), complex)])
def test_what_is_no_image_is_refused(images):
    with pytest.raises(DomainError, match="Give"):
        upright(images)
