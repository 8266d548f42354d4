"""The estimators of infinitely wide networks: the rules of scikit-learn, and the numbers of the functions behind."""

import numpy as np
import pytest

from epsnet import EpsnetError
from epsnet.certify.errors import DomainError, PrecisionError

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from epsnet.generalization.estimators import NTKClassifier, NTKRegressor
from epsnet.generalization.kernels import kernels
from epsnet.generalization.network_kernel import dense_network

RNG = np.random.default_rng(3)
X, TEST = RNG.standard_normal((40, 3)), RNG.standard_normal((9, 3))
Y = np.sin(X[:, 0]) * X[:, 1] + 5
CLASSES = np.array(["ant", "bee", "cow"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)]
NET = dense_network(3, "relu", 2**0.5, 0.1)


@pytest.mark.parametrize(
    "estimator",
    [
        NTKRegressor(), NTKRegressor(rank=20), NTKRegressor(kernel="nngp"), NTKRegressor(time=50.0),
        NTKClassifier(), NTKClassifier(C=10.0), NTKClassifier(rank=20),
    ],
    ids=["regressor", "low rank", "nngp", "early", "classifier", "svm", "low rank classifier"],
)  # fmt: skip
def test_the_checks_of_scikit_learn(estimator):
    found = check_estimator(estimator, on_skip=None)
    assert len(found) > 45
    assert {result["status"] for result in found} <= {"passed", "skipped"}
    assert sum(result["status"] == "skipped" for result in found) <= 2


@pytest.mark.parametrize("rank", [None, 40])
def test_the_posterior_is_that_of_scikit_learn(rank):
    """Its Gaussian process with our kernel as a precomputed one; all points as centers are no approximation."""

    class Ours(Kernel):
        def __init__(self):
            pass

        def __call__(self, a, b=None, eval_gradient=False):
            return kernels(NET, a, b).nngp

        def diag(self, a):
            return np.diag(kernels(NET, a).nngp)

        def is_stationary(self):
            return False

    peer = GaussianProcessRegressor(Ours(), alpha=0.01, optimizer=None).fit(X, Y - Y.mean())
    mean, std = peer.predict(TEST, return_std=True)
    ours = NTKRegressor(kernel="nngp", ridge=0.01, rank=rank).fit(X, Y)
    found = ours.predict(TEST, return_std=True)
    assert np.allclose(found[0], mean + Y.mean(), rtol=1e-9)
    assert np.allclose(found[1], std, rtol=1e-8)


def test_training_in_time_and_over_initializations():
    k = kernels(NET, np.concatenate([X, TEST]))
    theta, cross = k.ntk[:40, :40], k.ntk[40:, :40]
    inverse = np.linalg.inv(theta)
    smoother = cross @ inverse
    a, b, c = k.nngp[:40, :40], k.nngp[40:, :40], k.nngp[40:, 40:]
    spread = np.sqrt(np.diag(c + smoother @ a @ smoother.T - smoother @ b.T - b @ smoother.T))
    mean, std = NTKRegressor(ridge=0.0).fit(X, Y).predict(TEST, return_std=True)
    assert np.allclose(mean, Y.mean() + smoother @ (Y - Y.mean()), rtol=1e-8)
    assert np.allclose(std, spread, rtol=1e-6)
    start, at_start = NTKRegressor(time=0.0).fit(X, Y).predict(TEST, return_std=True)
    assert np.allclose(start, Y.mean(), rtol=1e-14) and np.allclose(at_start, np.sqrt(np.diag(c)), rtol=1e-12)
    late = NTKRegressor(ridge=0.0, time=1e9).fit(X, Y)
    assert np.allclose(late.predict(TEST), mean, rtol=1e-6)


def test_classes():
    for options in ({}, {"C": 10.0}, {"rank": 40}, {"time": 1e6}, {"kernel": "nngp"}):
        fitted = NTKClassifier(**options).fit(X, CLASSES)
        assert fitted.score(X, CLASSES) > 0.9
        assert fitted.decision_function(TEST).shape == (9, 3)
        two = clone(fitted).fit(X, Y.mean() < Y)
        assert ((two.decision_function(TEST) > 0) == two.predict(TEST)).all()
    gram = kernels(NET, X).ntk
    peer = SVC(C=10.0, kernel="precomputed").fit(gram, CLASSES)
    svm = NTKClassifier(C=10.0).fit(X, CLASSES)
    assert (svm.predict(TEST) == peer.predict(kernels(NET, TEST, X).ntk)).all()


def test_the_tools_of_scikit_learn():
    search = GridSearchCV(NTKClassifier(), {"depth": [2, 3], "C": [None, 1.0]}, cv=2).fit(X, CLASSES)
    assert search.predict(TEST).shape == (9,)
    two = NTKRegressor().fit(X, np.stack([Y, -Y], axis=1)).predict(TEST)
    assert np.allclose(two[:, 0], -two[:, 1]) and np.allclose(two[:, 0], NTKRegressor().fit(X, Y).predict(TEST))


@pytest.mark.parametrize(
    ("load", "forest"),
    [(load_iris, 0.9333), (load_wine, 0.9778), (load_breast_cancer, 0.9631)],
    ids=["iris", "wine", "breast cancer"],
)
def test_at_least_as_good_as_a_random_forest(load, forest):
    """Ten folds; the accuracy of RandomForestClassifier(300, random_state=0) on the same folds is `forest`."""
    assert svm_accuracy(load) >= forest


@pytest.mark.slow
def test_at_least_as_good_as_a_random_forest_on_digits():
    assert svm_accuracy(load_digits) >= 0.9766


def svm_accuracy(load):
    points, labels = load(return_X_y=True)
    model = make_pipeline(StandardScaler(), PolynomialFeatures(1), NTKClassifier(C=10.0))
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    return cross_val_score(model, points, labels, cv=folds).mean()


@pytest.mark.parametrize(
    ("estimator", "y", "error"),
    [
        (NTKRegressor(depth=0), Y, DomainError),
        (NTKRegressor(depth=2.5), Y, DomainError),
        (NTKRegressor(activation="nothing"), Y, DomainError),
        (NTKRegressor(weight_std=-1.0), Y, DomainError),
        (NTKRegressor(ridge=-1.0), Y, DomainError),
        (NTKRegressor(time=-1.0), Y, DomainError),
        (NTKRegressor(kernel="rbf"), Y, DomainError),
        (NTKRegressor(kernel="nngp", time=1.0), Y, DomainError),
        (NTKRegressor(rank=0), Y, DomainError),
        (NTKRegressor(rank=5, time=1.0), Y, DomainError),
        (NTKClassifier(C=1.0, rank=5), CLASSES, DomainError),
        (NTKClassifier(), CLASSES[:1].repeat(40), DomainError),
    ],
)
def test_refusals(estimator, y, error):
    with pytest.raises(error, match=r"\. \w.*\.$") as caught:
        estimator.fit(X, y)
    assert isinstance(caught.value, EpsnetError)


def test_duplicates_need_a_ridge():
    twice = np.concatenate([X, X])
    with pytest.raises(DomainError, match="different values"):
        NTKRegressor(ridge=0.0).fit(twice, np.concatenate([Y, -Y]))
    with pytest.raises(PrecisionError, match="Remove one of them"):
        NTKRegressor(ridge=0.0).fit(twice, np.concatenate([Y, Y]))
    assert np.allclose(NTKRegressor(ridge=1e-9).fit(twice, np.concatenate([Y, Y])).predict(X), Y, atol=1e-5)
    with pytest.raises(DomainError, match="needs all points"):
        NTKRegressor(rank=5).fit(X, Y).predict(X, return_std=True)


def test_one_point():
    assert NTKRegressor(ridge=0.0).fit(X[:1], Y[:1]).predict(TEST) == pytest.approx(Y[0])
