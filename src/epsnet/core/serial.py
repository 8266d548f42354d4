"""Files: a network as one safetensors file, a solution as a folder of canonical JSON and safetensors.

    network.safetensors   arrays, and the structure as JSON in the metadata
    target.safetensors    the network that is the target, where the target is one
    witness.safetensors   the arrays of the witnesses, named by their hash
    solution.json         target, certificate, stats; format "epsnet-solution-1"
    statements.json       instead of a solution: the certificate of statements about a network by itself

Nothing is executed on reading; sizes are limited. A file that was not written by this module gives a `CheckError`: a
network file must be, byte for byte, what this module writes for the network that is read from it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import exact
from epsnet.certify.errors import CheckError, DomainError, EpsnetError
from epsnet.certify.hashing import canonical_json
from epsnet.core.expansion_target import ExpansionTarget
from epsnet.core.linear_maps import Convolution, Dense, Exact, LinearMap, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.solution import AnyTarget, Solution, Statements
from epsnet.core.target import target_from_json

NETWORK_FORMAT = "epsnet-network-1"
SOLUTION_FORMAT = "epsnet-solution-1"
STATEMENTS_FORMAT = "epsnet-statements-1"
NETWORK_FILE, WITNESS_FILE, SOLUTION_FILE = "network.safetensors", "witness.safetensors", "solution.json"
TARGET_FILE, STATEMENTS_FILE = "target.safetensors", "statements.json"
Witnesses = Mapping[str, Mapping[str, np.ndarray]]

MAX_JSON_BYTES = 64 * 2**20
MAX_FILE_BYTES = 4 * 2**30


@contextlib.contextmanager
def refuse_malformed(what: str) -> Iterator[None]:
    """Turn whatever reading a hostile file can raise into a CheckError that names it."""
    try:
        yield
    except CheckError:
        raise
    except (
        EpsnetError, SafetensorError, ArithmeticError, AttributeError, LookupError, MemoryError, OSError,
        RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise CheckError(f"{what} cannot be read: {reason.rstrip('.')}. Build it anew.") from None


def network_bytes(network: Network) -> bytes:
    """Return the content of the network file; its length is what `bits` counts until a codec does better."""
    arrays: dict[str, np.ndarray] = {}

    def store(name: str, array: Any) -> str:
        arrays[name] = np.ascontiguousarray(array)
        return name

    def describe(linear: LinearMap, name: str) -> dict[str, Any]:
        if isinstance(linear, Dense):
            return {"type": "dense", "weight": store(f"{name}.weight", linear.weight)}
        if isinstance(linear, Convolution):
            return {
                "type": "convolution", "kernel": store(f"{name}.kernel", linear.kernel),
                "input_shape": list(linear.input_shape), "stride": linear.stride, "padding": linear.padding,
            }  # fmt: skip
        rows, columns, values = linear.entries()
        places = {"rows": store(f"{name}.rows", rows), "columns": store(f"{name}.columns", columns)}
        if isinstance(linear, Exact):
            return {"type": "exact", "shape": list(linear.shape), "values": [str(value) for value in values], **places}
        stored = store(f"{name}.values", np.array(values, dtype=np.float64))
        return {"type": "sparse", "shape": list(linear.shape), "values": stored, **places}

    layers = []
    for number, layer in enumerate(network.layers, start=1):
        terms = [[source, describe(linear, f"{number}.{k}")] for k, (source, linear) in enumerate(layer.terms)]
        bias = [str(b) for b in layer.bias] if isinstance(layer.bias, tuple) else store(f"{number}.bias", layer.bias)
        names = list(layer.activations)
        layers.append({"terms": terms, "bias": bias, "activations": names[:1] if len(set(names)) == 1 else names})
    structure = {"format": NETWORK_FORMAT, "inputs": network.inputs, "layers": layers}
    return save_arrays(arrays, metadata={"epsnet": canonical_json(structure).decode("ascii")})


def network_from_bytes(content: bytes, name: str = "The network file") -> Network:
    """Return the network of a network file. CheckError unless the content is what `network_bytes` writes for it."""
    with refuse_malformed(name):
        arrays = load_arrays(content)
        length = int.from_bytes(content[:8], "little")
        structure = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["epsnet"])
        if structure["format"] != NETWORK_FORMAT:
            raise ValueError(f"format {structure['format']!r} instead of {NETWORK_FORMAT!r}")
        layers = tuple(
            Layer(
                tuple((int(source), _linear_map(linear, arrays)) for source, linear in layer["terms"]),
                tuple(map(_fraction, layer["bias"])) if isinstance(layer["bias"], list) else arrays[layer["bias"]],
                tuple(map(str, layer["activations"])),
            )
            for layer in structure["layers"]
        )
        network = Network(int(structure["inputs"]), layers)
        if network_bytes(network) != content:
            raise ValueError("it is not the canonical file of the network in it")
        return network


def _linear_map(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LinearMap:
    kind = data["type"]
    if kind == "dense":
        return Dense(arrays[data["weight"]])
    if kind == "convolution":
        channels, height, width = map(int, data["input_shape"])
        return Convolution(arrays[data["kernel"]], (channels, height, width), int(data["stride"]), int(data["padding"]))
    rows, columns = arrays[data["rows"]], arrays[data["columns"]]
    height, width = map(int, data["shape"])
    if kind == "exact":
        places = zip(rows.tolist(), columns.tolist(), strict=True)
        return Exact((height, width), dict(zip(places, map(_fraction, data["values"]), strict=True)))
    if kind == "sparse":
        return Sparse((height, width), rows, columns, arrays[data["values"]])
    raise ValueError(f"linear map of type {kind!r}")


def _fraction(text: Any) -> Fraction:
    return exact(str(text), "weight")


def save_network(network: Network, path: str | Path) -> None:
    """Write a network file, atomically."""
    write_file(Path(path), network_bytes(network))


def load_network(path: str | Path) -> Network:
    """Read a network file. DomainError if it is missing, CheckError if it is not one."""
    return network_from_bytes(read_file(Path(path), MAX_FILE_BYTES), f"The file {path}")


def solution_to_json(solution: Solution) -> dict[str, Any]:
    """Return everything about a solution but its network and its witnesses as JSON values."""
    certificate = solution.certificate
    return {
        "format": SOLUTION_FORMAT,
        "target": solution.target.to_json(),
        "certificate": certificate.to_json(),
        "error": certificate.find(solution.error),
        "optimality": None if solution.optimality is None else certificate.find(solution.optimality),
        "stats": dict(solution.stats),
        "result": solution.result,
    }


def solution_from_json(
    data: Any, network: Network, witnesses: Witnesses, target_network: Network | None = None
) -> Solution:
    """Return the solution that `solution_to_json` described. CheckError on anything it cannot have written."""
    with refuse_malformed("The solution"):
        found = data.get("format") if isinstance(data, dict) else None
        if found != SOLUTION_FORMAT:
            raise ValueError(f"format {found!r} instead of {SOLUTION_FORMAT!r}")
        certificate = Certificate.from_json(data["certificate"], witnesses)
        claims = [node.claim for node in certificate.nodes]
        for index in (data["error"], data["optimality"]):
            if index is not None and not (type(index) is int and 0 <= index < len(claims)):
                raise ValueError("a bound points outside the certificate")
        return Solution(
            network=network,
            target=_target(data["target"], target_network),
            error=claims[data["error"]],
            bits=8 * len(network_bytes(network)),
            certificate=certificate,
            optimality=None if data["optimality"] is None else claims[data["optimality"]],
            stats=dict(data["stats"]),
            result=str(data["result"]),
        )


def _target(data: Any, network: Network | None) -> AnyTarget:
    if isinstance(data, dict) and data.get("kind") == "expansion":
        return ExpansionTarget.from_json(data)
    return target_from_json(data) if network is None else NetworkTarget.from_json(data, network)


def save_solution(solution: Solution, folder: str | Path) -> None:
    """Write a solution; `solution.json` comes last, so that a folder with it is complete.

    Raises:
        DomainError: the folder cannot be written.
    """
    folder = Path(folder)
    data = solution_to_json(solution)
    make_folder(folder)
    if isinstance(solution.target, NetworkTarget):
        save_network(solution.target.network, folder / TARGET_FILE)
    _save(solution.network, solution.certificate, data, folder / SOLUTION_FILE)


def save_statements(statements: Statements, folder: str | Path) -> None:
    """Write statements about a network; `statements.json` comes last, so that a folder with it is complete.

    Raises:
        DomainError: the folder cannot be written.
    """
    folder = Path(folder)
    data = {"format": STATEMENTS_FORMAT, "certificate": statements.certificate.to_json()}
    make_folder(folder)
    _save(statements.network, statements.certificate, data, folder / STATEMENTS_FILE)


def _save(network: Network, certificate: Certificate, data: dict[str, Any], path: Path) -> None:
    save_network(network, path.with_name(NETWORK_FILE))
    write_file(path.with_name(WITNESS_FILE), save_arrays(witness_arrays(certificate)))
    write_file(path, json.dumps(data, sort_keys=True, indent=1, allow_nan=False).encode())


def witness_arrays(certificate: Certificate) -> dict[str, np.ndarray]:
    """Return the arrays of all witnesses, named by the hash of the witness and their name in it."""
    return {
        f"{key}.{name}": np.ascontiguousarray(array)
        for key, witness in certificate.witnesses.items()
        for name, array in witness.items()
    }


def witnesses_of(arrays: Mapping[str, np.ndarray]) -> Witnesses:
    """Return the witnesses whose arrays `witness_arrays` named."""
    witnesses: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        key, _, field = name.partition(".")
        witnesses.setdefault(key, {})[field] = array
    return witnesses


def load_solution(folder: str | Path) -> Solution:
    """Read a solution. DomainError if there is none, CheckError if a file is not what it should be."""
    folder = Path(folder)
    if not (folder / SOLUTION_FILE).is_file():
        raise DomainError(
            f"There is no solution in {folder}: {SOLUTION_FILE} is missing. Give a folder that epsnet learn wrote."
        )
    network, witnesses, data = _load(folder / SOLUTION_FILE)
    with refuse_malformed(f"The file {folder / SOLUTION_FILE}"):
        target = data.get("target") if isinstance(data, dict) else None
        of_network = isinstance(target, dict) and target.get("kind") == "network"
        other = load_network(folder / TARGET_FILE) if of_network else None
        return solution_from_json(data, network, witnesses, other)


def load_statements(folder: str | Path) -> Statements:
    """Read statements about a network. DomainError if there are none, CheckError if a file is not what it should be."""
    folder = Path(folder)
    if not (folder / STATEMENTS_FILE).is_file():
        raise DomainError(
            f"There are no statements in {folder}: {STATEMENTS_FILE} is missing. Give a folder that epsnet wrote."
        )
    if (folder / SOLUTION_FILE).exists():  # which a reader would take for checked as well
        raise CheckError(f"The folder {folder} holds statements and a solution. Keep them in folders of their own.")
    network, witnesses, data = _load(folder / STATEMENTS_FILE)
    with refuse_malformed(f"The file {folder / STATEMENTS_FILE}"):
        if data["format"] != STATEMENTS_FORMAT:
            raise ValueError(f"format {data['format']!r} instead of {STATEMENTS_FORMAT!r}")
        return Statements(network, Certificate.from_json(data["certificate"], witnesses))


def _load(path: Path) -> tuple[Network, Witnesses, Any]:
    network = load_network(path.with_name(NETWORK_FILE))
    file = path.with_name(WITNESS_FILE)
    content = read_file(file, MAX_FILE_BYTES)
    with refuse_malformed(f"The file {file}"):
        witnesses = witnesses_of(load_arrays(content))
    content = read_file(path, MAX_JSON_BYTES)
    with refuse_malformed(f"The file {path}"):
        return network, witnesses, json.loads(content)


def make_folder(folder: Path) -> None:
    """Create an output folder. DomainError if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("no permission to write")
    except OSError as error:
        reason = error.strerror or error
        raise DomainError(
            f"The output folder {folder} cannot be written: {reason}. Choose another with --out."
        ) from None


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a file. DomainError if it is missing, CheckError if it cannot be read or is too large."""
    if not path.is_file():
        raise DomainError(f"The file {path} does not exist. Give the path of a file that epsnet wrote.")
    with refuse_malformed(f"The file {path}"), path.open("rb") as file:
        content = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    if len(content) > limit:
        raise CheckError(f"The file {path} is larger than {limit:,} bytes. Build it anew.")
    return content


def write_file(path: Path, content: bytes) -> None:
    """Write to a neighbor and rename, so that a reader never sees half a file."""
    neighbor = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        neighbor.write_bytes(content)
        neighbor.replace(path)
    except OSError as error:
        neighbor.unlink(missing_ok=True)
        raise DomainError(f"{path} cannot be written: {error.strerror}. Choose another place with --out.") from None
