"""Networks from fitted scikit-learn estimators, read from their attributes: scikit-learn is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.interop import exact_arrays as exact
from epsnet.interop.assembly import Assembly, Signal, constant

_ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def from_sklearn(estimator: Any) -> Network:
    """Return the network of a fitted MLPRegressor or MLPClassifier, or of a pipeline of scalers that ends in one.

    The outputs are those of `predict` for a regressor. For a classifier they are logits z, one for each class, without
    the softmax: `predict` is the class of the largest logit, the first one of equal ones, and `predict_proba` is the
    softmax of z. A binary classifier has one output unit with value v in scikit-learn; here z = (0, v). A multilabel
    classifier has one logit for each label, and predicts the labels with z > 0.

    The network is exact: weights and the numbers of StandardScaler and MinMaxScaler (without clip) are taken as the
    rational numbers that their floats are. A scaler that cannot be merged into the first layer without rounding becomes
    a layer of its own, with the identity as activation.

    Args:
        estimator: MLPRegressor, MLPClassifier, or a Pipeline of StandardScaler and MinMaxScaler with one of them last.

    Raises:
        DomainError: the estimator is another one, is not fitted, or holds weights that are not finite.
    """
    steps = [step for _, step in estimator.steps] if _is(estimator, "Pipeline") else [estimator]
    *scalers, last = [step for step in steps if step is not None and step != "passthrough"] or [estimator]
    if not _is(last, "MLPRegressor", "MLPClassifier"):
        raise DomainError(f"{type(last).__name__} is no network. Give an MLPRegressor or MLPClassifier, or a Pipeline.")
    layers = [
        (np.asarray(matrix, dtype=np.float64).T, np.asarray(bias, dtype=np.float64))
        for matrix, bias in zip(_fitted(last, "coefs_"), _fitted(last, "intercepts_"), strict=True)
    ]
    if _is(last, "MLPClassifier") and len(layers[-1][1]) == 1:
        matrix, bias = layers[-1]
        layers[-1] = np.vstack([np.zeros_like(matrix), matrix]), np.append(0.0, bias)
    if last.activation not in _ACTIVATIONS:
        raise DomainError(f"The activation {last.activation!r} is unknown. Use one of {', '.join(_ACTIVATIONS)}.")
    if _fitted(last, "out_activation_") not in ("identity", "logistic", "softmax"):
        raise DomainError(f"The output activation {last.out_activation_!r} is not supported. Use another loss.")
    if not scalers:
        return Network.from_layers(layers, _ACTIVATIONS[last.activation])

    assembly = Assembly((layers[0][0].shape[1],))
    signal = assembly.input
    for scaler in scalers:
        signal = _scaled(assembly, signal, scaler)
    for number, (matrix, bias) in enumerate(layers):
        if number:
            signal = assembly.write(signal, _ACTIVATIONS[last.activation])
        signal = assembly.add(assembly.apply(Dense(matrix), signal, bias.shape), constant(bias))
    return assembly.network(signal)


def _is(estimator: Any, *names: str) -> bool:
    return any(cls.__name__ in names for cls in type(estimator).__mro__)


def _fitted(estimator: Any, name: str) -> Any:
    if not hasattr(estimator, name):
        raise DomainError(f"The {type(estimator).__name__} is not fitted. Call its method fit first.")
    return getattr(estimator, name)


def _scaled(assembly: Assembly, signal: Signal, scaler: Any) -> Signal:
    """Return (x - mean_) / scale_ for a StandardScaler and scale_ x + min_ for a MinMaxScaler."""

    def vector(name: str) -> NDArray[np.float64] | None:
        found = _fitted(scaler, name)
        return None if found is None else np.broadcast_to(np.asarray(found, dtype=np.float64), signal.shape)

    if _is(scaler, "StandardScaler"):
        mean, scale = vector("mean_") if scaler.with_mean else None, vector("scale_")
        if mean is not None:
            signal = assembly.add(signal, constant(-mean))
        return signal if scale is None else assembly.scale(signal, exact.reciprocal(scale))
    if _is(scaler, "MinMaxScaler") and not scaler.clip:
        scale, shift = vector("scale_"), vector("min_")
        if scale is not None and shift is not None:
            return assembly.add(assembly.scale(signal, scale), constant(shift))
    raise DomainError(
        f"The step {type(scaler).__name__} is not supported. Use StandardScaler, or MinMaxScaler without clip."
    )
