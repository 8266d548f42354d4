"""Scattering features against sums over pixels, and the laws of the transform."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits

from epsnet.certify.errors import DomainError
from epsnet.features import enlarge, scattering_features
from epsnet.features.scattering import _wavelet

SEED = 7


def morlet(side, scale, angle, angles):
    """Sample the wavelet in the plane and wrap it around the torus: nothing here knows a Fourier transform."""
    sigma, frequency, slant = 0.8 * 2**scale, 0.75 * np.pi / 2**scale, 4 / angles
    turn, places = np.pi * angle / angles, np.arange(-8 * side, 8 * side)
    rows, columns = np.meshgrid(places, places, indexing="ij")
    along = np.cos(turn) * columns + np.sin(turn) * rows
    across = np.cos(turn) * rows - np.sin(turn) * columns
    bump = np.exp(-(along**2 + slant**2 * across**2) / (2 * sigma**2)) * slant / (2 * np.pi * sigma**2)
    wave = bump * np.exp(1j * frequency * along)
    wrapped, envelope = (part.reshape(16, side, 16, side).sum((0, 2)) for part in (wave, bump))
    return wrapped - wrapped.sum() / envelope.sum() * envelope


def convolve(values, kernel):
    """Return the periodic convolution, pixel by pixel."""
    side = len(values)
    places = np.arange(side)
    result = np.empty((side, side), complex)
    for a, b in itertools.product(range(side), repeat=2):
        result[a, b] = (values * kernel[np.ix_((a - places) % side, (b - places) % side)]).sum()
    return result


def reference(image, scales, angles):
    """Return the features of one square image whose padded side is a multiple of 2^J."""
    step = 2**scales
    side = -(-(len(image) + 4) // step) * step
    padded = np.zeros((side, side))
    margin = (side - len(image)) // 2
    padded[margin : margin + len(image), margin : margin + len(image)] = image
    spread = 0.8 * 2 ** (scales - 1)

    def average(values, resolution):
        distance = (np.arange(step // 2, side, step)[:, None] - np.arange(0, side, 2**resolution)) % side
        wrapped = distance[..., None] + side * np.arange(-9, 9)
        weights = np.exp(-(wrapped**2) / (2 * spread**2)).sum(-1) / (np.sqrt(2 * np.pi) * spread)
        return (4**resolution * weights @ values @ weights.T).ravel()

    def moduli(values, resolution, scale):
        keep = 2 ** (scale - resolution)
        wavelets = [morlet(len(values), scale - resolution, angle, angles) for angle in range(angles)]
        return [np.abs(convolve(values, wavelet))[::keep, ::keep] for wavelet in wavelets]

    orders = [[average(padded, 0)], [], []]
    for j in range(scales):
        for first in moduli(padded, 0, j):
            orders[1].append(average(first, j))
            for k in range(j + 1, scales):
                orders[2] += [average(second, k) for second in moduli(first, j, k)]
    row = np.concatenate([weight * np.concatenate(order) for order, weight in zip(orders, (1, 4, 16), strict=True)])
    return row / np.linalg.norm(row)


@pytest.mark.parametrize(("side", "scales", "angles"), [(12, 2, 3), (11, 2, 2), (9, 3, 2)])
def test_features_are_the_sums_of_the_definition(side, scales, angles):
    image = np.random.default_rng(SEED).random((side, side))
    np.testing.assert_allclose(
        scattering_features(image[None], scales, angles)[0], reference(image, scales, angles), rtol=1e-10, atol=1e-13
    )


def digits():
    return enlarge(load_digits().images[:40], 28, 28)


def test_a_large_image_has_2032_features_of_norm_1():
    features = scattering_features(digits())
    assert features.shape == (40, 2032)
    assert features.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-14)
    assert features.min() >= 0


def test_threads_blocks_and_order_change_no_bit():
    images = digits()
    features = scattering_features(images)
    np.testing.assert_array_equal(scattering_features(images, workers=2), features)
    np.testing.assert_array_equal(scattering_features(images[3:9]), features[3:9])
    np.testing.assert_array_equal(scattering_features(images[::-1]), features[::-1])


def test_the_unit_of_pixels_does_not_matter():
    images = digits()[:5]
    for unit in (2.0**-1000, 255.0, 1e300):
        np.testing.assert_allclose(scattering_features(images * unit), scattering_features(images), rtol=1e-12)


def test_any_type_of_pixel_gives_the_same_features():
    images = np.random.default_rng(SEED).integers(-128, 128, (3, 28, 28)).astype(np.int8)
    images[:, 0, 0] = -128
    np.testing.assert_array_equal(scattering_features(images), scattering_features(images.astype(np.float64)))


def test_a_shift_by_a_window_permutes_the_windows():
    image = np.random.default_rng(SEED).random((1, 32, 32))
    image[:, :, 10:] = 0.0
    shifted = np.roll(image, 16, axis=2)
    features, moved = (scattering_features(x).reshape(127, 5, 5) for x in (image, shifted))
    np.testing.assert_allclose(np.roll(features, 2, axis=2), moved, atol=1e-13)


def test_transposing_the_image_mirrors_the_angles():
    image = np.random.default_rng(SEED).random((1, 28, 28))
    first, second = (
        scattering_features(x)[0, 16 : 16 * 19].reshape(3, 6, 4, 4) for x in (image, np.swapaxes(image, 1, 2))
    )
    mirrored = [(3 - angle) % 6 for angle in range(6)]
    np.testing.assert_allclose(second, np.swapaxes(first[:, mirrored], 2, 3), atol=1e-13)


def test_small_translations_move_features_far_less_than_pixels():
    images = digits()
    shifted = np.roll(images, 1, axis=2)
    pixels = np.linalg.norm(images - shifted, axis=(1, 2)) / np.linalg.norm(images, axis=(1, 2))
    features = np.linalg.norm(scattering_features(images) - scattering_features(shifted), axis=1)
    assert (features < 0.6 * pixels).all()


@pytest.mark.parametrize("angles", [4, 6, 8])
def test_one_layer_of_wavelets_does_not_expand(angles):
    power = sum(_wavelet(32, 32, scale, a, angles) ** 2 for scale in range(3) for a in range(angles))
    mirror = np.roll(power[::-1, ::-1], 1, (0, 1))
    assert ((power + mirror) / 2).max() <= 1.03
    assert power[0, 0] == 0


def test_zero_images_have_zero_features():
    assert not scattering_features(np.zeros((2, 28, 28))).any()


def test_enlarging_interpolates_linearly():
    rows, columns = np.arange(8.0)[:, None], np.arange(8.0)
    large = enlarge((3 * rows + columns)[None], 28, 28)[0]
    places = np.arange(28) * 7 / 27
    np.testing.assert_allclose(large, 3 * places[:, None] + places, atol=1e-13)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scattering_features(np.zeros((28, 28))),
        lambda: scattering_features(np.zeros((0, 28, 28))),
        lambda: scattering_features(np.full((1, 8, 8), np.nan)),
        lambda: scattering_features(np.zeros((1, 8, 8), complex)),
        lambda: scattering_features(np.zeros((1, 8, 8)), 0),
        lambda: scattering_features(np.zeros((1, 8, 8)), 3, 17),
        lambda: scattering_features(np.zeros((1, 8, 8)), workers=0),
        lambda: enlarge(np.zeros((1, 8, 8)), 7, 28),
        lambda: enlarge(np.zeros((8, 8)), 28, 28),
    ],
    ids=["matrix", "none", "nan", "complex", "scales", "angles", "workers", "smaller", "flat"],
)
def test_bad_input_says_what_to_do(call):
    with pytest.raises(DomainError, match=r"(Give|Use|Remove).*\.$"):
        call()
