"""Dictionaries by name: each is found, keeps the laws, and a wrong name is told."""

import pytest

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.catalog import find
from epsnet.dictionaries.dictionary import assert_reconstructs

NAMED = [
    ("haar", (64,)), ("bior4.4:2", (32, 64)), ("cdf2.2", (33,)), ("bsplines:2", (64,)), ("gabor:16", (32, 32)),
    ("shearlets", (32, 32)), ("shearlets:1", (32, 32)), ("ridgelets", (32, 32)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), NAMED, ids=str)
def test_finds_dictionaries_that_reconstruct(name, shape):
    if name.startswith(("haar", "bior")):
        pytest.importorskip("pywt")
    found = find(name, shape)
    assert found.shape == shape
    assert_reconstructs(found, tolerance=1e-9)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("nothing", (64,)), ("gabor:x", (64,)), ("cdf2.2", (64,)), ("shearlets", (64,)), ("bsplines", (8, 8)),
        ("haar", (7,)), ("haar:99", (64,)), ("bsplines:9", (64,)), ("gabor:7", (64,)),
    ],
    ids=str,
)  # fmt: skip
def test_says_what_is_wrong(name, shape):
    with pytest.raises(DomainError, match=r"\."):
        find(name, shape)
