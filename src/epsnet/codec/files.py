r"""The file `.eps` of a network with everything that proves what is said of it, in one piece.

The header of `format`, with the number 2, and two sections:

    4 bytes    the length of the first, little-endian
    network    as in the file of a network alone (`format`), and never longer than `length_bound`
    proof      compressed by LZMA: the folder of `core.serial` without its network file, as one safetensors file: the
               target, certificate and statistics as JSON in the metadata, the arrays of the witnesses, and the network
               of the target, where the target is one, as bytes of `format`

`check` of what `decode_file` returns proves every bound again from these bytes alone; a risk needs its data too. The
proof is read only if it is, byte for byte after decompression, what is written for what was read. It is no larger than
`MAX_PROOF` bytes, however well a hostile file compresses. Nothing is executed.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError
from epsnet.certify.hashing import canonical_json
from epsnet.codec import circuits
from epsnet.codec.circuits import PROGRAM, Program
from epsnet.codec.format import HEADER, MAX_BYTES, NETWORK, decode_stream, encode, encode_stream, seal, unseal
from epsnet.core import serial
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import (
    STATEMENTS_FORMAT,
    read_file,
    refuse_malformed,
    solution_from_json,
    solution_to_json,
    witness_arrays,
    witnesses_of,
    write_file,
)
from epsnet.core.solution import Solution, Statements

Content = Network | Solution | Statements | Program
_Kind = TypeVar("_Kind", Solution, Statements)

SUFFIX = ".eps"
PROVED = 2
MAX_PROOF = 2**28
"""The most bytes of a proof before compression."""

MAX_TEXT = 2**24
"""The most bytes of its JSON, which takes 30 times as much memory when it is read."""

_FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**22, "lc": 3, "lp": 0, "pb": 3}]
_LENGTH = 4
_TARGET = "target"


@dataclass(frozen=True, slots=True)
class Sections:
    """The bytes of the parts of a file.

    Attributes:
        header: magic, checksum and the length of the network.
        network: the network, or its program.
        proof: target, certificate and witnesses; 0 in the file of a network alone.
    """

    header: int
    network: int
    proof: int

    def __str__(self) -> str:
        return f"{self.header} + {self.network:,} network + {self.proof:,} proof bytes"


def encode_file(content: Content) -> bytes:
    """Return the `.eps` file of a network, of a solution, of statements or of a program.

    Raises:
        DomainError: the network is too large for a file, or a proof is.
    """
    if isinstance(content, Network):
        return encode(content)
    if isinstance(content, Program):
        return circuits.encode_program(content)
    network, proof = encode_stream(content.network), _proof(content)
    if len(proof) > MAX_PROOF or _text_length(proof) > MAX_TEXT:
        raise DomainError(
            f"The proof has more than {MAX_PROOF:,} bytes, or {MAX_TEXT:,} bytes of text. Save it to a folder."
        )
    packed = lzma.compress(proof, lzma.FORMAT_RAW, filters=_FILTERS)
    return seal(PROVED, len(network).to_bytes(_LENGTH, "little") + network + packed)


def decode_file(content: bytes, name: str = "The .eps file") -> Content:
    """Return what an `.eps` file holds, unproved. CheckError unless the content is one, whole and unchanged."""
    with refuse_malformed(name):
        kind, rest = unseal(content)
        if kind == NETWORK:
            return decode_stream(rest)
        if kind == PROGRAM:
            return circuits.decode_stream(rest)
        if kind != PROVED:
            raise ValueError(f"it holds something of kind {kind}, which this version does not know")
        end = _LENGTH + int.from_bytes(rest[:_LENGTH], "little")
        if end > len(rest):
            raise ValueError("the network ends after the file does")
        proof = _unpacked(rest[end:])
        found = _read(decode_stream(rest[_LENGTH:end]), proof)
        if _proof(found) != proof:
            raise ValueError("its proof is not the canonical one of what is in it")
        return found


def sections(content: bytes) -> Sections:
    """Return the bytes of the parts of a file. CheckError unless its header is one."""
    with refuse_malformed("The .eps file"):
        kind, rest = unseal(content)
        if kind != PROVED:
            return Sections(HEADER, len(rest), 0)
        network = int.from_bytes(rest[:_LENGTH], "little")
        return Sections(HEADER + _LENGTH, network, len(rest) - _LENGTH - network)


def save_file(content: Content, path: str | Path) -> Sections:
    """Write an `.eps` file, atomically. DomainError if the network is too large for one, or the path cannot be written.

    Returns:
        How long its parts are.
    """
    written = encode_file(content)
    write_file(Path(path), written)
    return sections(written)


def load_file(path: str | Path) -> Content:
    """Read an `.eps` file. DomainError if it is missing, CheckError if it is not one."""
    return decode_file(read_file(Path(path), MAX_BYTES), f"The file {path}")


def _proof(content: Solution | Statements) -> bytes:
    arrays = witness_arrays(content.certificate)
    if isinstance(content, Statements):
        data: dict[str, Any] = {"format": STATEMENTS_FORMAT, "certificate": content.certificate.to_json()}
    else:
        data = solution_to_json(content)
        if isinstance(content.target, NetworkTarget):
            arrays[_TARGET] = np.frombuffer(encode_stream(content.target.network), dtype=np.uint8)
    return save_arrays(arrays, metadata={"epsnet": canonical_json(data).decode("ascii")})


def _unpacked(packed: bytes) -> bytes:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        proof = decompressor.decompress(packed, MAX_PROOF)
    except lzma.LZMAError:
        raise ValueError("its proof cannot be decompressed") from None
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError(f"its proof is not whole, or larger than {MAX_PROOF:,} bytes")
    if _text_length(proof) > MAX_TEXT:
        raise ValueError(f"its proof has more than {MAX_TEXT:,} bytes of text")
    return proof


def _text_length(proof: bytes) -> int:
    """Return the length of the header of a safetensors file, which holds all of its JSON."""
    return int.from_bytes(proof[:8], "little")


def _read(network: Network, proof: bytes) -> Solution | Statements:
    arrays = dict(load_arrays(proof))
    data = json.loads(json.loads(proof[8 : 8 + _text_length(proof)])["__metadata__"]["epsnet"])
    other = arrays.pop(_TARGET, None)
    witnesses = witnesses_of(arrays)
    if isinstance(data, dict) and data.get("format") == STATEMENTS_FORMAT:
        return Statements(network, Certificate.from_json(data["certificate"], witnesses))
    target = None if other is None else decode_stream(other.astype(np.uint8).tobytes())
    return solution_from_json(data, network, witnesses, target)


def load_network(path: str | Path) -> Network:
    """Read the network of an `.eps` file, or of a network file of `core.serial`.

    Raises:
        DomainError: there is no such file. CheckError: it is not one.
    """
    return _network(load_file(path)) if Path(path).suffix == SUFFIX else serial.load_network(path)


def load_solution(path: str | Path) -> Solution:
    """Read the solution of an `.eps` file, or that of a folder.

    Raises:
        DomainError: there is no such file or folder, or no solution in it. CheckError: it is not one.
    """
    return _of(Solution, path) if Path(path).suffix == SUFFIX else serial.load_solution(path)


def load_statements(path: str | Path) -> Statements:
    """Read the statements of an `.eps` file, or those of a folder.

    Raises:
        DomainError: there is no such file or folder, or no statements in it. CheckError: it is not one.
    """
    return _of(Statements, path) if Path(path).suffix == SUFFIX else serial.load_statements(path)


def save_network(network: Network, path: str | Path) -> None:
    """Write a network, to an `.eps` file if that is the suffix. DomainError if that fails."""
    save_file(network, path) if Path(path).suffix == SUFFIX else serial.save_network(network, path)


def save_solution(solution: Solution, path: str | Path) -> None:
    """Write a solution to an `.eps` file if that is the suffix, else to a folder. DomainError if that fails."""
    save_file(solution, path) if Path(path).suffix == SUFFIX else serial.save_solution(solution, path)


def save_statements(statements: Statements, path: str | Path) -> None:
    """Write statements to an `.eps` file if that is the suffix, else to a folder. DomainError if that fails."""
    save_file(statements, path) if Path(path).suffix == SUFFIX else serial.save_statements(statements, path)


def _network(content: Content) -> Network:
    return content if isinstance(content, Network) else content.network


def _of(kind: type[_Kind], path: str | Path) -> _Kind:
    content = load_file(path)
    if not isinstance(content, kind):
        raise DomainError(
            f"The file {path} holds a {type(content).__name__}, not a {kind.__name__}. Give a file that holds one."
        )
    return content
