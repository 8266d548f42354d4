"""scikit-learn estimators that learn a network and carry the bound of its risk."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.realize import realize
from epsnet.data import Sample
from epsnet.learning.learn import learn

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError("sklearn", "The scikit-learn estimators") from None

_FEWEST = 9
"""The fewest points that leave one for the risk, one for validation and some for training; see `learn`."""


class _EpsEstimator(BaseEstimator):
    """What classifier and regressor share: the parameters, the call of `learn`, and the outputs of the network."""

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        *,
        epochs: int | None = None,
        eps: float | None = None,
        random_state: Any = 0,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.eps = eps
        self.random_state = random_state

    def _learn(self, X: NDArray[np.float64], labels: NDArray[Any], classes: tuple[str, ...] | None) -> Self:
        whole = isinstance(self.hidden, Sequence) and all(isinstance(w, Integral) and w > 0 for w in self.hidden)
        if not whole:
            raise DomainError(f"hidden = {self.hidden!r} are no widths. Give positive integers such as (64, 64).")
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(2**31)
        training: dict[str, Any] = {} if self.epochs is None else {"epochs": self.epochs}
        sample = Sample(X, labels, f"the sample of {type(self).__name__}", classes)
        self.solution_ = learn(sample, self.eps, seed=int(seed), hidden=tuple(self.hidden), **training)
        self.network_ = self.solution_.network
        self.risk_ = self.solution_.error
        return self

    def _outputs(self, X: Any) -> NDArray[np.float64]:
        """Return R(Phi)(x) in float64 arithmetic for each row x, shape (n, m)."""
        check_is_fitted(self, "network_")
        return realize(self.network_, validate_data(self, X, dtype=np.float64, reset=False))


class EpsRegressor(RegressorMixin, _EpsEstimator):
    r"""Regression by a ReLU network, with a bound of the risk at confidence 0.99.

    `fit` is `learn` on the sample (X, y): a fifth of the points is set aside at random, the network Phi is trained on
    the others with the square loss, and the points set aside bound

    $$ P(\max_j |\Phi(X)_j - Y_j| > t) \le \text{risk\_.value}, $$

    STATISTICAL, where the tolerance t is the 0.95 quantile of the residuals on a validation part of the training
    points. The bound assumes independent points of one distribution: it says nothing after choosing among many fits by
    their bounds, nor for data of another distribution.

    Args:
        hidden: the widths of the hidden layers.
        epochs: how often each point is visited; by default about 20,000 steps are taken.
        eps: the risk asked for; `fit` raises CertificateError if it is not reached. None asks for nothing.
        random_state: what fixes division, initialization and order of the steps: the seed of `learn`, a RandomState
            that a seed is drawn from, or None for the global one.

    Attributes:
        solution_: the `Solution` of `learn`; `check(solution_)` re-derives its bound.
        network_: the network.
        risk_: the `Bound` of the risk.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from points X (n, d) with targets y (n,) or (n, m), n >= 9.

        Raises:
            ValueError: X or y is no finite real array, or they do not fit together.
            CertificateError: the risk `eps` was not certified; the best solution is attached as `best`.
        """
        X, y = validate_data(
            self, X, y, dtype=np.float64, y_numeric=True, multi_output=True, ensure_min_samples=_FEWEST
        )
        return self._learn(X, np.asarray(y, dtype=np.float64), None)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return Phi(x) for each row x of X, shape (n,) for one target and (n, m) for several."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self.network_.outputs == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class EpsClassifier(ClassifierMixin, _EpsEstimator):
    r"""Classification by a ReLU network, with a bound of the risk at confidence 0.99.

    `fit` is `learn` on the sample (X, y): a fifth of the points is set aside at random, the network Phi with one output
    for each class is trained on the others with the cross entropy, and the points set aside bound

    $$ P(\text{predict}(X) \ne Y) \le \text{risk\_.value}, $$

    STATISTICAL. The bound assumes independent points of one distribution: it says nothing after choosing among many
    fits by their bounds, nor for data of another distribution.

    Args:
        hidden: the widths of the hidden layers.
        epochs: how often each point is visited; by default about 20,000 steps are taken.
        eps: the risk asked for; `fit` raises CertificateError if it is not reached. None asks for nothing.
        random_state: what fixes division, initialization and order of the steps: the seed of `learn`, a RandomState
            that a seed is drawn from, or None for the global one.

    Attributes:
        solution_: the `Solution` of `learn`; `check(solution_)` re-derives its bound.
        network_: the network; its outputs are the logits of the classes.
        risk_: the `Bound` of the risk.
        classes_: the labels, sorted.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from points X (n, d) with labels y (n,) of any type, n >= 9 and at least two classes.

        Raises:
            ValueError: X is no finite real matrix, or y does not hold one label of at least two classes for each row.
            CertificateError: the risk `eps` was not certified; the best solution is attached as `best`.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=_FEWEST)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        return self._learn(X, labels, tuple(map(str, self.classes_)))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the logits z = Phi(x), shape (n, K); for two classes z_1 - z_0, shape (n,)."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the largest logit, the first one of equal ones."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the softmax of the logits, shape (n, K): scores that sum to 1, without any bound of their own."""
        logits = self._outputs(X)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
