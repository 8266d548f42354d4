"""Checkpoints: the whole state of a run in one npz file, without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError


def save_checkpoint(path: Path, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays and configuration; whenever the process dies, `path` is the old file or the new one, complete."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        text = np.asarray(json.dumps(config, sort_keys=True))
        np.savez(file, config=text, **arrays)  # pyright: ignore[reportArgumentType] (no array is called allow_pickle)
    temporary.replace(path)


def load_checkpoint(path: Path, config: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint written under the same configuration.

    Raises:
        DomainError: the file is no checkpoint, or belongs to a run with other options or other data.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        stored = json.loads(str(arrays.pop("config")))
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DomainError(f"{path} is no checkpoint of a training run. Delete it to start again.") from error
    names = sorted(key for key in {*stored, *config} if stored.get(key) != config.get(key))
    if names:
        raise DomainError(
            f"The checkpoint {path} was written with a different {', '.join(names)}. "
            "Resume with the same options and data, or train without resuming."
        )
    return arrays
