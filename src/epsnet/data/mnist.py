"""The MNIST digits, bundled with the package."""

from __future__ import annotations

from importlib import resources
from typing import Literal

import numpy as np

from epsnet.certify.errors import DomainError
from epsnet.data.sample import Sample


def load_mnist(part: Literal["train", "test"] = "train") -> Sample:
    """Return one part of MNIST: handwritten digits, 28 x 28 raw pixels in {0, ..., 255}, ten classes.

    Each call decodes the part asked for and nothing else, so a program that calls `load_mnist("test")` only after its
    network is frozen has provably not seen a test label before.

    Arguments:
        part: "train" (60,000 pairs) or "test" (10,000 pairs).

    Returns:
        A `Sample` with uint8 inputs of shape (n, 28, 28).

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; CC BY-SA 3.0.
    """
    if part not in ("train", "test"):
        raise DomainError(f"MNIST has no part {part!r}. Ask for 'train' or 'test'.")
    archive = resources.files("epsnet.data").joinpath("mnist.npz")
    with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # an npz decodes array by array
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    return Sample(images, labels, f"MNIST {part}", tuple("0123456789"))
