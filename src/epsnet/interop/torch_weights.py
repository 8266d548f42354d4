"""Networks from the weights of PyTorch: the plain chain of the modules in a state_dict, exactly."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.interop.assembly import Assembly, constant
from epsnet.interop.batch_norm import normalized
from epsnet.interop.files import content
from epsnet.interop.tensor_files import read_tensors

Module = dict[str, NDArray[Any]]

_PARAMETERS = ("weight", "bias", "running_mean", "running_var")
_MALFORMED = (
    SafetensorError, BadZipFile, struct.error, EOFError, ArithmeticError, AttributeError, LookupError, MemoryError,
    OSError, RecursionError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
_MAX_NAME = 200
_ONNX = "Export the model with torch.onnx.export and read it with load_onnx."


def load_torch(
    source: str | Path | Mapping[str, Any],
    activation: str | Sequence[str],
    *,
    output: str = "identity",
    layers: Sequence[str] | None = None,
    epsilon: float = 1e-5,
) -> Network:
    """Read the weights of a PyTorch model as a network R^d -> R^m, without PyTorch.

    A state_dict holds the weights of modules, not what happens between them. The network is the plain chain

        linear, batch normalization if there is one, activation, linear, ..., linear, output

    in the order of the state_dict; skip connections, a softmax, or a scaling of the input in the forward function are
    not in the file and not in the network. Modules are recognized by their parameters: nn.Linear, and nn.BatchNorm1d,
    which acts at inference, by its running statistics, on the outputs of the linear module before it, or on the input.
    A convolution is refused, because its stride, padding and image are not in a state_dict.

    Every float of 16, 32 or 64 bits is taken as the rational number that it is. Only the factor of a batch
    normalization is rounded (`batch_norm`).

    Args:
        source: a mapping from names to tensors or arrays, a file that torch.save wrote for one, or a safetensors file.
        activation: the activation of the hidden layers, or one for each of them, as in `Network.from_layers`.
        output: the activation of the last layer.
        layers: the names of the modules in the order of evaluation, for example ("encoder", "decoder"); by default
            all of them in the order of the state_dict. A safetensors file keeps no order: there the default is by
            number, and names that are not numbered alike have to be given.
        epsilon: what batch normalizations add to the variance, 1e-5 unless the model was built with another number.

    Raises:
        DomainError: there is no such file, it is malformed or too large, or it holds something else than the weights
            of such a chain; the message names the tensor.
    """
    if not isinstance(source, str | Path | Mapping):
        raise DomainError(f"{type(source).__name__} is no state_dict. Give model.state_dict() or the path of a file.")
    tensors, ordered = (source, True) if isinstance(source, Mapping) else _read(Path(source))
    modules = _modules(tensors)
    if layers is None:
        layers = tuple(modules) if ordered else _numbered(tuple(modules))
    missing = [name for name in layers if name not in modules]
    if missing or not layers:
        raise DomainError(
            f"There is no module {missing[0] if missing else ''!r}. Give names out of {_listed(modules)}."
        )
    with np.errstate(all="ignore"):
        return _chain([(name, modules[name]) for name in layers], activation, output, epsilon)


def _read(path: Path) -> tuple[Mapping[str, Any], bool]:
    try:
        return read_tensors(content(path, "a file of torch.save or a safetensors file"))
    except DomainError as error:
        raise DomainError(f"{path}: {error}") from None
    except _MALFORMED as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
        raise DomainError(
            f"{path} is neither a file of torch.save nor a safetensors file: {reason}. Save the state_dict again."
        ) from None


def _listed(names: Iterable[str]) -> str:
    first = list(itertools.islice(names, 9))
    return ", ".join(first[:8]) + ", ..." * (len(first) > 8)


def _modules(tensors: Mapping[str, Any]) -> dict[str, Module]:
    """Return the parameters of each module, in the order of their first appearance."""
    modules: dict[str, Module] = {}
    for name, value in tensors.items():
        if len(str(name)) > _MAX_NAME:
            raise DomainError(f"A tensor has a name of more than {_MAX_NAME} characters. Use shorter names.")
        module, _, parameter = str(name).rpartition(".")
        if parameter == "num_batches_tracked":
            continue
        if parameter not in _PARAMETERS:
            raise DomainError(
                f"The tensor {str(name)!r} is none of {', '.join(_PARAMETERS)} of a linear module or a batch "
                f"normalization. {_ONNX}"
            )
        modules.setdefault(module, {})[parameter] = _floats(str(name), value)
    if not modules:
        raise DomainError("The state_dict is empty. Give the one of a model with weights.")
    return modules


def _floats(name: str, value: Any) -> NDArray[Any]:
    """Return a tensor of floats as an array of 16, 32 or 64 bits."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            # NumPy has no bfloat16, which is a part of float32.
            value = (value.float() if "float16" in str(value.dtype) else value).numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        array = np.empty(0, dtype=object)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise DomainError(f"The tensor {name!r} holds no real floats. Convert it to float32 or float64.")
    if not np.isfinite(array).all():
        raise DomainError(f"The tensor {name!r} holds NaN or infinity. Use finite weights.")
    return array


def _numbered(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that differ in their numbers only in the order of the numbers."""
    if len({re.sub(r"[0-9]+", "0", name) for name in names}) > 1:
        raise DomainError(
            f"A safetensors file keeps no order, and the modules {_listed(names)} are not numbered alike. Give "
            f"layers=(...) with their names in the order of evaluation."
        )
    return tuple(sorted(names, key=lambda name: [int(number) for number in re.findall(r"[0-9]+", name)]))


def _chain(modules: list[tuple[str, Module]], activation: str | Sequence[str], output: str, epsilon: float) -> Network:
    single = all(values.dtype != np.float64 for _, module in modules for values in module.values())
    modules = [(name, {key: values.astype(np.float64) for key, values in module.items()}) for name, module in modules]
    linear = [_is_linear(name, module) for name, module in modules]
    hidden = [activation] * (sum(linear) - 1) if isinstance(activation, str) else list(activation)
    if not any(linear) or len(hidden) != sum(linear) - 1:
        raise DomainError(
            f"{sum(linear)} linear modules have {max(sum(linear) - 1, 0)} hidden layers, not {len(hidden)}. Give one "
            f"activation for each."
        )
    first = modules[0][1]
    assembly = Assembly((1, first["weight"].shape[1] if linear[0] else len(first["running_mean"])))
    signal, last = assembly.input, ""
    following = iter(hidden)
    for number, (name, module) in enumerate(modules):
        size = signal.size
        if not linear[number]:
            _refuse_gap(last, name)
            scale, shift = module.get("weight", np.ones(size)), module.get("bias", np.zeros(size))
            mean, variance = module["running_mean"], module["running_var"]
            _refuse_misfit(name, last, [each.shape for each in (scale, shift, mean, variance)], (size,))
            signal = normalized(assembly, signal, scale, shift, mean, variance, epsilon=epsilon, single=single)
        else:
            if any(linear[:number]):
                signal = assembly.write(signal, next(following))
            weight = module["weight"]
            _refuse_misfit(name, last, [weight.shape[1:]], (size,))
            signal = assembly.apply(Dense(weight), signal, (1, len(weight)))
            if "bias" in module:
                _refuse_misfit(name, name, [module["bias"].shape], (len(weight),))
                signal = assembly.add(signal, constant(module["bias"].reshape(signal.shape)))
        last = name
    return assembly.network(assembly.write(signal, output))


def _is_linear(name: str, module: Module) -> bool:
    """Tell a linear module from a batch normalization. DomainError if it is neither."""
    statistics = {"running_mean", "running_var"} & set(module)
    if statistics:
        if len(statistics) == 2 and module["running_mean"].ndim == 1 and len(module["running_mean"]):
            return False
        raise DomainError(f"The running statistics of {name!r} are incomplete. {_ONNX}")
    dimensions = module["weight"].ndim if "weight" in module else 0
    if dimensions == 2 and module["weight"].size:
        return True
    if dimensions > 2:
        raise DomainError(
            f"The weight of {name!r} has the shape {module['weight'].shape}: a convolution, whose stride, padding and "
            f"image a state_dict does not hold. {_ONNX}"
        )
    raise DomainError(
        f"The parameters of {name!r} are those of neither a linear module nor a batch normalization with running "
        f"statistics. {_ONNX}"
    )


def _refuse_misfit(name: str, before: str, shapes: Sequence[tuple[int, ...]], expected: tuple[int, ...]) -> None:
    wrong = [shape for shape in shapes if shape != expected]
    if wrong:
        raise DomainError(
            f"The module {name!r} has a tensor for {wrong[0]} values, but there are {expected} after {before!r}. Give "
            f"layers=(...) with the modules in the order of evaluation."
        )


def _refuse_gap(before: str, name: str) -> None:
    """Complain if the numbers say that a module without weights, maybe an activation, stands before `name`."""
    stem, _, number = name.rpartition(".")
    other, _, previous = before.rpartition(".")
    if stem == other and number.isdecimal() and previous.isdecimal() and int(number) > int(previous) + 1:
        raise DomainError(
            f"A module without weights stands between {before!r} and the batch normalization {name!r}; what it does "
            f"is not in a state_dict. {_ONNX}"
        )
