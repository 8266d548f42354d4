"""scikit-learn estimators for infinitely wide networks: kernel regression, Gaussian processes, early stopping, SVM."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.generalization.inference import KernelTraining, gaussian_process, kernel_training
from epsnet.generalization.kernels import kernels
from epsnet.generalization.low_rank import LowRankRegression, blocks_of, choose_centers, normal_equations, nystrom
from epsnet.generalization.network_kernel import NetworkKernel, dense_network

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.svm import SVC
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError("sklearn", "A scikit-learn estimator") from None

Floats = NDArray[np.float64]


class _NTKEstimator(BaseEstimator):
    """What classifier and regressor share: the network, and the regression on numbers."""

    fit_: Any

    def __init__(
        self,
        depth: int = 3,
        activation: str = "relu",
        *,
        weight_std: float = math.sqrt(2),
        bias_std: float = 0.1,
        ridge: float = 1e-3,
        time: float = math.inf,
        kernel: Literal["ntk", "nngp"] = "ntk",
        rank: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.depth = depth
        self.activation = activation
        self.weight_std = weight_std
        self.bias_std = bias_std
        self.ridge = ridge
        self.time = time
        self.kernel: Literal["ntk", "nngp"] = kernel
        self.rank = rank
        self.random_state = random_state

    def _kernel(self) -> NetworkKernel:
        if not isinstance(self.depth, Integral) or not all(isinstance(v, Real) for v in (self.time, self.ridge)):
            raise DomainError(f"depth = {self.depth!r}, time = {self.time!r}, ridge = {self.ridge!r}. Give numbers.")
        return NetworkKernel(
            dense_network(int(self.depth), self.activation, self.weight_std, self.bias_std), self.kernel
        )

    def _regress(self, X: Floats, y: Floats) -> None:
        """Fit the deviations of y from its mean: a network without bias cannot have one far from the data."""
        self.kernel_ = self._kernel()
        self.mean_ = y.mean(axis=0)
        if self.rank is None:
            self.X_fit_ = X
            self.fit_ = kernel_training(self.kernel_(X), y - self.mean_, self.ridge)
            self.fit_.filter(self.time)  # refuses here what has no solution
            return
        if self.time != math.inf:
            raise DomainError(
                f"Low rank is for fully trained networks, not for time = {self.time}. Give rank=None or time=inf."
            )
        state = self.random_state
        seed = int(state) if isinstance(state, Integral) else int(check_random_state(state).randint(2**31))
        centers = choose_centers(self.kernel_, X, min(self.rank, len(X)), seed=seed)
        equations = normal_equations(nystrom(self.kernel_, centers), blocks_of(X, y - self.mean_))
        self.fit_ = equations.solve(self.ridge)

    def _checked(self, X: Any) -> Floats:
        check_is_fitted(self, "fit_")
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _values(self, X: Floats) -> Floats:
        if isinstance(self.fit_, LowRankRegression):
            return self.mean_ + self.fit_.predict(X)
        return self.mean_ + self.fit_.mean(self.kernel_(X, self.X_fit_), self.time)


class NTKRegressor(RegressorMixin, _NTKEstimator):
    r"""Regression by a network of infinite width with L dense layers.

    With `kernel="ntk"` it is the mean over all initializations of networks that gradient flow trains for a time t on
    (1/2n)|f - y|^2 + (ridge/2n)|w - w_0|^2; with "nngp" the posterior mean of the Bayesian network with noise of
    variance `ridge`. In both cases of y minus its mean.

    Args:
        depth: L, the number of dense layers.
        activation: of the hidden layers.
        weight_std: of the weights, over the root of the fan-in.
        bias_std: of the biases; 0 makes relu networks homogeneous.
        ridge: rho >= 0, positive if there is a rank.
        time: t, for the tangent kernel; infinity is fully trained.
        kernel: "ntk" or "nngp".
        rank: the number of Nystrom centers, drawn from the points; None uses all points, with a kernel matrix (n, n).
        random_state: draws the centers.

    Attributes:
        kernel_: the kernel, a function of points.
        fit_: the `KernelTraining`, or the `LowRankRegression`.
        mean_: of the targets.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to points X (n, d) with targets y (n,) or (n, m).

        Raises:
            ValueError: X or y is no finite real array, they do not fit together, or a parameter makes no sense.
            PrecisionError: the kernel has no inverse and there is no ridge.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        if self.kernel == "nngp" and self.time != math.inf:
            raise DomainError("A Bayesian network has no training time. Give time=inf, or kernel='ntk'.")
        self._regress(X, np.asarray(y, dtype=np.float64))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean (m,) or (m, k), and with `return_std` also the standard deviation (m,). ESTIMATED.

        For "nngp" it is that of the posterior of the function, for "ntk" that over the initializations of the network.

        Raises:
            DomainError: a standard deviation is asked for and the tangent kernel has low rank.
        """
        X = self._checked(X)
        if not return_std:
            return self._values(X)
        if isinstance(self.fit_, LowRankRegression):
            if self.kernel == "ntk":
                raise DomainError("The spread over initializations needs all points. Give rank=None or kernel='nngp'.")
            return self._values(X), self.fit_.std(X)
        return self._values(X), self._std(X, self.fit_)

    def _std(self, X: Floats, fit: KernelTraining) -> Floats:
        network = self.kernel_.network
        cross, own = kernels(network, X, self.X_fit_), kernels(network, X).nngp
        if self.kernel == "nngp":
            return gaussian_process(fit.kernel, fit.targets, self.ridge).predict(cross.nngp, own).std
        train = kernels(network, self.X_fit_).nngp
        return fit.ensemble(cross.ntk, train, cross.nngp, own, self.time).std

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class NTKClassifier(ClassifierMixin, _NTKEstimator):
    r"""Classification by a network of infinite width with L dense layers.

    Without C the network regresses, for each class, on 1 for the class and -1 for the others, as `NTKRegressor` does.
    With C it is a support vector machine with the kernel, each class against each other.

    Args:
        depth: L, the number of dense layers.
        activation: of the hidden layers.
        weight_std: of the weights, over the root of the fan-in.
        bias_std: of the biases; 0 makes relu networks homogeneous.
        ridge: rho >= 0 of the regression, positive if there is a rank.
        time: t of the regression; infinity is fully trained.
        kernel: "ntk" or "nngp".
        rank: the number of Nystrom centers of the regression, drawn from the points; None uses all points.
        C: the cost of errors of the support vector machine, positive; None regresses.
        random_state: draws the centers.

    Attributes:
        kernel_: the kernel, a function of points.
        fit_: the `KernelTraining`, the `LowRankRegression`, or the `SVC`.
        classes_: the labels, sorted.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(
        self,
        depth: int = 3,
        activation: str = "relu",
        *,
        weight_std: float = math.sqrt(2),
        bias_std: float = 0.1,
        ridge: float = 1e-3,
        time: float = math.inf,
        kernel: Literal["ntk", "nngp"] = "ntk",
        rank: int | None = None,
        C: float | None = None,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            depth, activation, weight_std=weight_std, bias_std=bias_std, ridge=ridge, time=time, kernel=kernel,
            rank=rank, random_state=random_state,
        )  # fmt: skip
        self.C = C

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to points X (n, d) with labels y (n,) of any type, of at least two classes.

        Raises:
            ValueError: X is no finite real matrix, y does not hold one label of at least two classes for each row, or a
                parameter makes no sense.
            PrecisionError: the kernel has no inverse and there is no ridge.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DomainError(f"Only one class, {self.classes_[0]!r}, is in the labels. Give at least two.")
        if self.C is None:
            self._regress(X, np.where(labels[:, None] == np.arange(len(self.classes_)), 1.0, -1.0))
            return self
        if self.rank is not None or self.time != math.inf:
            raise DomainError("A support vector machine has neither rank nor time. Leave them out, or give C=None.")
        self.kernel_ = self._kernel()
        self.X_fit_ = X
        self.fit_ = SVC(C=self.C, kernel="precomputed").fit(self.kernel_(X), labels)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return the outputs of the classes, (n, K); for two classes how much the second is above, (n,)."""
        X = self._checked(X)
        if isinstance(self.fit_, SVC):
            return self.fit_.decision_function(self.kernel_(X, self.X_fit_))
        values = self._values(X)
        return (values[:, 1] - values[:, 0]) / 2 if len(self.classes_) == 2 else values

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the largest output; for a support vector machine that of the most pairs."""
        checked = self._checked(X)
        if isinstance(self.fit_, SVC):
            return self.classes_[self.fit_.predict(self.kernel_(checked, self.X_fit_))]
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]
