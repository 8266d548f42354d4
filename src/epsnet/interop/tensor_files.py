"""Files of tensors: what `torch.save` writes for a state_dict, and safetensors. Neither needs PyTorch.

A file of `torch.save` is a zip archive with a pickle in it. The pickle is not unpickled: its opcodes are read one by
one, those alone that a state_dict is made of, and nothing that they name is imported or called. The bytes of the
tensors lie beside it, uncompressed.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize

from epsnet.certify.errors import DomainError

MAX_ELEMENTS = 2**27
MAX_ENTRIES = 100_000
MAX_PICKLE_BYTES = 2**22
_MAX_DIMENSIONS = 8
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02"
_SAVE = "Save model.state_dict() with torch.save."
_NUMBERS = {
    pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d",
    pickle.BINPUT: "<B", pickle.LONG_BINPUT: "<I", pickle.BINGET: "<B", pickle.LONG_BINGET: "<I",
}  # fmt: skip

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": _BFLOAT16,
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
_SAFETENSORS = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": _BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_tensors(content: bytes) -> tuple[dict[str, NDArray[Any]], bool]:
    """Return the tensors of a file by name, and whether they come in the order of the modules they belong to.

    Raises:
        DomainError: the file holds something else than named tensors of real numbers.
        Exception: what `zipfile`, `pickletools` and `safetensors` raise on files that are not theirs.
    """
    if content.startswith(_ZIP):
        return _torch(content), True
    if content.startswith(_PICKLE):
        raise DomainError("The file has the format of PyTorch before 1.6. Load and save it with a newer version.")
    return _safetensors(content), False


def _safetensors(content: bytes) -> dict[str, NDArray[Any]]:
    found = deserialize(content)
    _check_elements(sum(math.prod(tensor["shape"]) for _, tensor in found))
    return {
        name: _array(tensor["data"], _known(_SAFETENSORS, tensor["dtype"]), "<").reshape(tensor["shape"])
        for name, tensor in found
    }


def _known(types: dict[str, str], name: str) -> str:
    if name not in types:
        raise DomainError(f"The file holds tensors of type {name}. Convert the weights to float32 or float64.")
    return types[name]


def _check_elements(count: int) -> None:
    if count > MAX_ELEMENTS:
        raise DomainError(f"The tensors have more than {MAX_ELEMENTS:,} elements. Use a smaller network.")


def _array(data: bytes, kind: str, order: str) -> NDArray[Any]:
    """Return the numbers in some bytes; a bfloat16 is the upper half of a float32."""
    if kind == _BFLOAT16:
        return (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, order + kind)


@dataclass(frozen=True)
class _Name:
    """A global that a pickle names; it is never imported."""

    module: str
    name: str


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str


@dataclass(frozen=True)
class _Tensor:
    """The tensor with element (i_1, i_2, ...) at offset + i_1 strides_1 + i_2 strides_2 + ... of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _torch(content: bytes) -> dict[str, NDArray[Any]]:
    if content.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise DomainError(f"The archive has more than {MAX_ENTRIES:,} entries. Use a smaller network.")
    archive = zipfile.ZipFile(io.BytesIO(content))
    folders = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise DomainError("The archive is none of torch.save. Save model.state_dict() with torch.save.")
    found = _interpret(_entry(archive, folders[0] + "data.pkl", MAX_PICKLE_BYTES))
    if not isinstance(found, dict) or not all(isinstance(tensor, _Tensor) for tensor in found.values()):
        keys = f" with the keys {', '.join(map(str, list(found)[:5]))[:200]}" if isinstance(found, dict) else ""
        raise DomainError(f"The file holds no state_dict but another object{keys}. {_SAVE}")
    _check_elements(sum(math.prod(tensor.shape) for tensor in found.values()))
    order, room = "<", len(content)
    if f"{folders[0]}byteorder" in archive.namelist():
        order = {b"little": "<", b"big": ">"}[_entry(archive, f"{folders[0]}byteorder", 16)]
    storages: dict[_Storage, NDArray[Any]] = {}
    for tensor in found.values():
        if tensor.storage not in storages:
            data = _entry(archive, f"{folders[0]}data/{tensor.storage.key}", room)
            room -= len(data)  # entries that overlap would hold more than the file
            storages[tensor.storage] = _array(data, tensor.storage.kind, order)
    return {str(name): _view(tensor, storages[tensor.storage]) for name, tensor in found.items()}


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
        raise DomainError(f"The entry {name[:100]!r} is compressed or too large. {_SAVE}")
    return archive.read(entry)


def _view(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    steps = list(zip(tensor.shape, tensor.strides, strict=True))
    if math.prod(tensor.shape) and tensor.offset + sum((n - 1) * step for n, step in steps) >= len(numbers):
        raise DomainError("A tensor reaches beyond its storage. Save the state_dict again.")
    strides = [step * numbers.itemsize for step in tensor.strides]
    part = numbers[tensor.offset :]
    return np.lib.stride_tricks.as_strided(part, tensor.shape, strides).copy()


def _interpret(content: bytes) -> Any:
    """Return the object of a pickle made of dictionaries, tuples, numbers, strings and tensors.

    Every opcode that protocol 2 needs for a state_dict is here; all others are refused. What the opcode BUILD sets, the
    versions of the modules, is left out.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    marks: list[int] = []

    def popped() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    stream = io.BytesIO(content)
    while code := stream.read(1):
        match code:
            case pickle.PROTO:
                stream.read(1)
            case pickle.MARK:
                marks.append(len(stack))
            case pickle.EMPTY_DICT:
                stack.append({})
            case pickle.EMPTY_LIST:
                stack.append([])
            case pickle.EMPTY_TUPLE:
                stack.append(())
            case pickle.NONE:
                stack.append(None)
            case pickle.NEWTRUE | pickle.NEWFALSE:
                stack.append(code == pickle.NEWTRUE)
            case pickle.BININT | pickle.BININT1 | pickle.BININT2 | pickle.BINFLOAT:
                stack.append(_number(stream, code))
            case pickle.LONG1:
                stack.append(int.from_bytes(stream.read(stream.read(1)[0]), "little", signed=True))
            case pickle.BINUNICODE:
                (length,) = struct.unpack("<I", stream.read(4))
                stack.append(stream.read(length).decode())
            case pickle.GLOBAL:
                stack.append(_Name(*(stream.readline().decode().removesuffix("\n") for _ in range(2))))
            case pickle.BINPUT | pickle.LONG_BINPUT:
                memo[_number(stream, code)] = stack[-1]
            case pickle.BINGET | pickle.LONG_BINGET:
                stack.append(memo[_number(stream, code)])
            case pickle.TUPLE:
                stack.append(tuple(popped()))
            case pickle.TUPLE1 | pickle.TUPLE2 | pickle.TUPLE3:
                marks.append(len(stack) - 1 - (pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3).index(code))
                stack.append(tuple(popped()))
            case pickle.APPEND | pickle.APPENDS:
                items = popped() if code == pickle.APPENDS else [stack.pop()]
                stack[-1].extend(items)
            case pickle.SETITEM | pickle.SETITEMS:
                items = popped() if code == pickle.SETITEMS else [stack.pop(-2), stack.pop()]
                if not all(type(key) in (str, int) for key in items[::2]):
                    raise DomainError(f"A key of a dictionary is neither a name nor a number. {_SAVE}")
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case pickle.BINPERSID:
                stack.append(_storage(stack.pop()))
            case pickle.REDUCE:
                arguments = stack.pop()
                stack.append(_reduced(stack.pop(), arguments))
            case pickle.BUILD:
                stack.pop()
            case pickle.STOP:
                return stack.pop()
            case _:
                raise DomainError(f"The file holds more than weights: its pickle has the opcode {code!r}. {_SAVE}")
    raise EOFError("the pickle has no end")


def _number(stream: io.BytesIO, code: bytes) -> Any:
    kind = _NUMBERS[code]
    return struct.unpack(kind, stream.read(struct.calcsize(kind)))[0]


def _storage(identity: Any) -> _Storage:
    kind, name, key = identity[:3]
    if kind != "storage" or not isinstance(name, _Name) or type(key) is not str:
        raise DomainError(f"The file refers to something else than a storage. {_SAVE}")
    return _Storage(_known(_STORAGES, name.name), key)


def _reduced(function: Any, arguments: Any) -> Any:
    """Return what a constructor of a state_dict makes of its arguments."""
    if function == _Name("collections", "OrderedDict") and arguments == ():
        return {}
    if function == _Name("torch._utils", "_rebuild_parameter") and isinstance(arguments[0], _Tensor):
        return arguments[0]
    if function != _Name("torch._utils", "_rebuild_tensor_v2"):
        called = f"{function.module}.{function.name}"[:100] if isinstance(function, _Name) else "a value"
        raise DomainError(f"The file holds more than weights: it calls {called}. {_SAVE}")
    storage, offset, shape, strides = arguments[:4]
    numbers = (offset, *shape, *strides)
    fits = isinstance(storage, _Storage) and len(shape) == len(strides) <= _MAX_DIMENSIONS
    if not fits or not all(type(number) is int and number >= 0 for number in numbers):
        raise DomainError("A tensor has no shape. Save the state_dict again.")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
