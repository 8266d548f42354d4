"""MLPs of scikit-learn: what they predict, computed by scikit-learn itself, and exactly by rationals."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from epsnet import DomainError, realize
from epsnet.core.realize import realize_exact
from epsnet.core.rounding_error import float64_error
from epsnet.interop import from_sklearn

pytest.importorskip("sklearn")
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

pytestmark = pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)

RNG = np.random.default_rng(3)
X = RNG.standard_normal((120, 4)) * [1, 100, 1e-2, 5] + [0, 50, 3, -1]
STANDARD = (X - X.mean(axis=0)) / X.std(axis=0)
Y = np.stack([np.sin(STANDARD[:, 0]) + STANDARD[:, 1], STANDARD[:, 2] * STANDARD[:, 3]], axis=1)
CLASSES = np.array(["ant", "bee", "cow"])[(STANDARD[:, 0] > 0).astype(int) + (STANDARD[:, 1] > 0.5)]
BINARY = np.where(STANDARD[:, 0] + STANDARD[:, 1] > 0, "yes", "no")


def fitted(kind, target, **options):
    return kind(hidden_layer_sizes=(7, 5), max_iter=30, random_state=0, **options).fit(STANDARD, target)


def agree(network, points, expected):
    """Compare with scikit-learn, whose evaluation is rounded like ours."""
    values = realize(network, points)
    doubt = 2 * float64_error(network, points, points)
    assert (np.abs(values - expected) <= 2 * doubt + 2.0**-45 * (1 + np.abs(expected))).all()
    return values


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("target", [Y, Y[:, 0]], ids=["two targets", "one target"])
def test_regressors(activation, target):
    estimator = fitted(MLPRegressor, target, activation=activation)
    network = from_sklearn(estimator)
    agree(network, STANDARD, estimator.predict(STANDARD).reshape(len(X), -1))
    assert network.size.depth == 3


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [CLASSES, BINARY], ids=["three classes", "two classes"])
def test_classifiers(labels):
    estimator = fitted(MLPClassifier, labels)
    network = from_sklearn(estimator)
    logits = realize(network, STANDARD)
    assert logits.shape == (len(X), len(estimator.classes_))
    assert np.allclose(softmax(logits), estimator.predict_proba(STANDARD), rtol=1e-12, atol=1e-14)
    assert (estimator.classes_[logits.argmax(axis=1)] == estimator.predict(STANDARD)).all()
    if labels is BINARY:
        assert not logits[:, 0].any()


def test_a_binary_tie_is_the_first_class():
    """At the logit 0 scikit-learn predicts classes_[0]; so does the largest logit, the first of equal ones."""
    estimator = fitted(MLPClassifier, BINARY)
    for array in (*estimator.coefs_, *estimator.intercepts_):
        array[:] = 0
    assert (
        estimator.predict(STANDARD[:1]) == estimator.classes_[realize(from_sklearn(estimator), STANDARD[:1]).argmax()]
    )


def test_multilabel_classifiers():
    labels = (Y > 0).astype(int)
    estimator = fitted(MLPClassifier, labels)
    logits = realize(from_sklearn(estimator), STANDARD)
    assert ((logits > 0) == estimator.predict(STANDARD)).all()
    assert np.allclose(1 / (1 + np.exp(-logits)), estimator.predict_proba(STANDARD), rtol=1e-12)


def test_weights_in_float32_are_exact():
    estimator = MLPRegressor(hidden_layer_sizes=(6,), max_iter=5, random_state=0).fit(
        STANDARD.astype(np.float32), Y[:, 0]
    )
    assert estimator.coefs_[0].dtype == np.float32
    network = from_sklearn(estimator)
    assert (network.layers[0].terms[0][1].weight == estimator.coefs_[0].T).all()


SCALERS = {
    "standard": [StandardScaler()],
    "no mean": [StandardScaler(with_mean=False)],
    "no variance": [StandardScaler(with_std=False)],
    "neither": [StandardScaler(with_mean=False, with_std=False)],
    "range": [MinMaxScaler((-1, 1))],
    "two": [MinMaxScaler(), "passthrough", StandardScaler()],
    "none": ["passthrough"],
}


@pytest.mark.parametrize("name", SCALERS)
def test_pipelines(name):
    pipeline = make_pipeline(*SCALERS[name], MLPRegressor(hidden_layer_sizes=(6,), max_iter=5, random_state=0)).fit(
        X, Y
    )
    agree(from_sklearn(pipeline), X, pipeline.predict(X))


@pytest.mark.parametrize("name", ["standard", "range", "two"])
def test_pipelines_are_exact(name):
    """The scaler and the network, evaluated apart in rationals."""
    pipeline = make_pipeline(*SCALERS[name], MLPRegressor(hidden_layer_sizes=(6,), max_iter=5, random_state=0)).fit(
        X, Y
    )
    network, inner = from_sklearn(pipeline), from_sklearn(pipeline[-1])

    def rational(values):
        return [Fraction(float(value)) for value in values]

    for point in X[:5]:
        scaled = rational(point)
        for scaler in (step for step in pipeline[:-1] if step != "passthrough"):
            if isinstance(scaler, StandardScaler):
                steps = zip(scaled, rational(scaler.mean_), rational(scaler.scale_), strict=True)
                scaled = [(value - mean) / scale for value, mean, scale in steps]
            else:
                steps = zip(scaled, rational(scaler.scale_), rational(scaler.min_), strict=True)
                scaled = [value * scale + shift for value, scale, shift in steps]
        assert realize_exact(network, rational(point)) == realize_exact(inner, scaled)


def test_scikit_learn_is_not_needed():
    """Attributes decide, and names of classes: anything alike will do."""

    class MLPRegressor(SimpleNamespace):
        pass

    estimator = MLPRegressor(
        coefs_=[[[1.0], [2.0]]], intercepts_=[[0.5]], activation="relu", out_activation_="identity"
    )
    assert realize_exact(from_sklearn(estimator), [1, 1]) == (Fraction(7, 2),)


def poisson():
    estimator = fitted(MLPRegressor, Y)
    estimator.out_activation_ = "exp"
    return estimator


def nan():
    estimator = fitted(MLPRegressor, Y)
    estimator.coefs_[1][0, 0] = np.nan
    return estimator


REFUSED = {
    "not fitted": (MLPRegressor, "MLPRegressor is not fitted"),
    "pipeline not fitted": (lambda: make_pipeline(StandardScaler(), MLPClassifier()), "is not fitted"),
    "another estimator": (LinearRegression, "LinearRegression is no network"),
    "another object": (lambda: 7, "int is no network"),
    "another scaler": (
        lambda: make_pipeline(MaxAbsScaler(), MLPRegressor(max_iter=2)).fit(X, Y), "MaxAbsScaler is not supported"
    ),
    "clip": (lambda: make_pipeline(MinMaxScaler(clip=True), MLPRegressor(max_iter=2)).fit(X, Y), "without clip"),
    "no network at the end": (lambda: make_pipeline(StandardScaler()).fit(X), "StandardScaler is no network"),
    "nan": (nan, "NaN"),
    "poisson": (poisson, "output activation 'exp'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name):
    build, message = REFUSED[name]
    with pytest.raises(DomainError, match=message) as caught:
        from_sklearn(build())
    assert str(caught.value).endswith(".")
