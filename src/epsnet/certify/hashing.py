"""Content hashes: sha256 over canonical JSON and over arrays, independent of how a thing is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def canonical_json(data: Any) -> bytes:
    """Return JSON with sorted keys, no spaces, ASCII only; NaN and infinities are refused."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sha256_json(data: Any) -> str:
    """Return the sha256 of canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(data)).hexdigest()


def sha256_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of named arrays: names, dtypes, shapes and little-endian contents, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        digest.update(canonical_json([name, little.dtype.str, list(little.shape)]))
        digest.update(little.tobytes())
    return digest.hexdigest()
