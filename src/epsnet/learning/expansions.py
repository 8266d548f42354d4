"""Learn(eps, F) for a sum of few atoms that a dictionary found in samples."""

from __future__ import annotations

from fractions import Fraction

from epsnet.certify.errors import HypothesisError
from epsnet.core.solution import Solution
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.transfer import haar_steps, linear_wavelet_atoms, ramp_transfer, transfer
from epsnet.dictionaries.wavelets import Wavelets


def learn_expansion(expansion: Expansion, eps: Fraction) -> Solution:
    """Return the network of an expansion: exactly the same function for CDF(2,2), steep ramps in L2 for Haar.

    Raises:
        HypothesisError: the atoms are samples only, and no functions on an interval.
    """
    dictionary = expansion.dictionary
    if isinstance(dictionary, LinearWavelets):
        found = transfer(linear_wavelet_atoms(expansion)).solution()
    elif isinstance(dictionary, Wavelets) and dictionary.name in ("haar", "db1") and len(dictionary.shape) == 1:
        found = ramp_transfer(haar_steps(expansion), eps).solution()
    else:
        raise HypothesisError(
            f"The atoms of {dictionary.name} are known at samples only. Expand in cdf2.2 or, in one variable, in haar; "
            f"for other atoms give functions to dictionaries.transfer."
        )
    return found
