"""scikit-learn estimators: the rules of scikit-learn, and the bound of `learn`."""

import pickle
import sys

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import beta

from epsnet import CertificateError, Kind, MissingExtraError, Sample, check, learn, realize
from epsnet.data import split

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from epsnet.interop import from_sklearn
from epsnet.learning.estimators import EpsClassifier, EpsRegressor

RNG = np.random.default_rng(5)
X = RNG.uniform(-1, 1, (240, 2))
Y = np.sin(2 * X[:, 0]) * X[:, 1]
CLASSES = np.array(["ant", "bee", "cow"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)]
BINARY = X[:, 0] > X[:, 1]
SMALL = {"hidden": (32,), "epochs": 60}
TINY = {"hidden": (3,), "epochs": 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EpsClassifier, EpsRegressor])
def test_the_checks_of_scikit_learn(kind):
    """All of them, with the default parameters; those that need pandas skip themselves where it is absent."""
    found = check_estimator(kind(), on_skip=None)
    assert len(found) > 45
    assert {result["status"] for result in found} <= {"passed", "skipped"}
    assert sum(result["status"] == "skipped" for result in found) <= 2


@pytest.mark.parametrize(("estimator", "y"), [(EpsClassifier(**SMALL), CLASSES), (EpsRegressor(**SMALL), Y)])
def test_fit_is_learn(estimator, y):
    fitted = clone(estimator).set_params(random_state=4).fit(X, y)
    labels, classes = y, None
    if y is CLASSES:
        classes, labels = np.unique(y, return_inverse=True)
    solution = learn(Sample(X, labels, classes=None if classes is None else tuple(classes)), seed=4, **SMALL)
    assert fitted.network_.sha256 == solution.network.sha256
    assert fitted.risk_.value == solution.error.value
    assert fitted.risk_ is fitted.solution_.error
    assert fitted.risk_.kind is Kind.STATISTICAL
    check(fitted.solution_)


def test_the_risk_is_that_of_predict_on_points_set_aside():
    fitted = EpsClassifier(**SMALL).fit(X, CLASSES)
    _, aside = split(len(X), (0.8, 0.2), 0)
    errors = int((fitted.predict(X[aside]) != CLASSES[aside]).sum())
    assert 0 < errors < len(aside)
    assert fitted.risk_.value == pytest.approx(beta.ppf(0.99, errors + 1, len(aside) - errors), rel=1e-9)


@pytest.mark.parametrize("y", [CLASSES, BINARY, BINARY.astype(int) * 7 - 3, CLASSES.astype(object)])
def test_labels_of_any_type(y):
    fitted = EpsClassifier(**SMALL).fit(X, y)
    assert (fitted.classes_ == np.unique(y)).all()
    assert fitted.classes_.dtype == np.unique(y).dtype
    assert set(fitted.predict(X)) <= set(y)
    assert fitted.score(X, y) > 0.7
    logits = realize(fitted.network_, X)
    assert np.allclose(fitted.predict_proba(X), softmax(logits, axis=1), rtol=1e-14)
    expected = logits if len(fitted.classes_) == 3 else logits[:, 1] - logits[:, 0]
    assert (fitted.decision_function(X) == expected).all()


def test_regression_of_one_and_several_targets():
    one = EpsRegressor(**SMALL).fit(X, Y)
    assert one.predict(X).shape == (240,)
    assert one.score(X, Y) > 0.3
    assert EpsRegressor(**SMALL).fit(X, Y[:, None]).network_.sha256 == one.network_.sha256
    two = EpsRegressor(**SMALL).fit(X, np.stack([Y, 1 - Y], axis=1))
    assert two.predict(X).shape == (240, 2)
    assert (two.predict(X) == realize(two.network_, X)).all()


def test_an_accuracy_that_is_not_reached_is_an_error():
    assert EpsClassifier(**TINY, eps=0.99).fit(X, CLASSES).risk_.value <= 0.99
    estimator = EpsClassifier(**TINY, eps=1e-6)
    with pytest.raises(CertificateError) as caught:
        estimator.fit(X, CLASSES)
    assert caught.value.best.error.value == EpsClassifier(**TINY).fit(X, CLASSES).risk_.value
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_the_tools_of_scikit_learn():
    pipeline = make_pipeline(StandardScaler(), EpsClassifier(**SMALL))
    assert pipeline.fit(X, CLASSES).score(X, CLASSES) > 0.7
    assert len(cross_val_score(EpsRegressor(**TINY), X, Y, cv=2)) == 2
    search = GridSearchCV(EpsClassifier(**TINY), {"hidden": [(2,), (4, 4)]}, cv=2).fit(X, CLASSES)
    assert search.predict(X).shape == (240,)


def test_a_stored_estimator_predicts_and_checks_the_same():
    fitted = EpsClassifier(**SMALL).fit(X, CLASSES)
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict_proba(X) == fitted.predict_proba(X)).all()
    assert again.network_.sha256 == fitted.network_.sha256
    check(again.solution_)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)


def test_random_states():
    def learned(state):
        return EpsRegressor(**TINY, random_state=state).fit(X, Y).network_.sha256

    generator = np.random.RandomState(0)
    first = learned(generator)
    assert first == learned(np.random.RandomState(0)) != learned(generator)
    assert learned(np.int64(1)) == learned(1) != learned(None)


@pytest.mark.parametrize(
    ("options", "x", "y", "message"),
    [
        ({"hidden": 5}, X, Y, "hidden = 5"),
        ({"hidden": (0,)}, X, Y, r"hidden = \(0,\)"),
        ({"hidden": "8"}, X, Y, "hidden = '8'"),
        ({"epochs": 0}, X, Y, "epochs is 0"),
        ({"eps": -1}, X, Y, "eps = -1"),
        ({"random_state": "seed"}, X, Y, "seed"),
        ({}, X[:8], Y[:8], "minimum of 9"),
        ({}, np.where(X > 0.9, np.nan, X), Y, "NaN"),
        ({}, X, np.where(Y > 0.5, np.inf, Y), "infinity"),
        ({}, X, Y[:9], "inconsistent numbers of samples"),
    ],
)
def test_bad_input(options, x, y, message):
    with pytest.raises(ValueError, match=message):
        EpsRegressor(**{**SMALL, **options}).fit(x, y)


def test_one_class_and_continuous_labels():
    with pytest.raises(ValueError, match="one class only"):
        EpsClassifier().fit(X, np.zeros(240, dtype=int))
    with pytest.raises(ValueError, match="Unknown label type"):
        EpsClassifier().fit(X, Y)


def test_it_is_no_mlp_of_scikit_learn():
    with pytest.raises(ValueError, match="EpsRegressor is no network"):
        from_sklearn(EpsRegressor())


def test_without_scikit_learn(monkeypatch):
    monkeypatch.delitem(sys.modules, "epsnet.learning.estimators")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(MissingExtraError, match="sklearn"):
        __import__("epsnet.learning.estimators")
