"""What the tests of compression share."""

from itertools import pairwise

import numpy as np
import pytest

from epsnet.core.network import Network


@pytest.fixture(scope="session")
def network():
    rng = np.random.default_rng(0)
    sizes = (6, 30, 20, 3)
    return Network.from_layers(
        [(rng.normal(size=(m, n)) / np.sqrt(n), rng.normal(size=m) / 4) for n, m in pairwise(sizes)]
    )
