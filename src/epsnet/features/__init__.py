"""Fixed feature maps: computed by formula, without a parameter that data could influence."""

from epsnet.features.scattering import enlarge, scattering_features
from epsnet.features.upright import upright

__all__ = ["enlarge", "scattering_features", "upright"]
