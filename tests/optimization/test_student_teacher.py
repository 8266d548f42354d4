"""Spurious minima: the published numbers, the type by an independent descent, hit rates."""

import numpy as np
import pytest

from epsnet.certify.errors import CertificateError, DomainError, PrecisionError
from epsnet.checker.kernel import check_certificate
from epsnet.optimization.student_teacher import hit_rate, polish, prove, student_loss, symmetric_critical_point


def test_the_spurious_minimum_of_six():
    """T10: value and least eigenvalue, enclosed within 1e-11."""
    found = prove(symmetric_critical_point(6))
    assert found.is_spurious_minimum and not found.is_saddle
    assert found.loss_low.value <= 0.025080581002460 <= found.loss_high.value
    for low, high, known in (
        (found.loss_low, found.loss_high, 0.025080581002460),
        (found.eigenvalue_low, found.eigenvalue_high, 0.004700354704),
    ):
        assert high.value - low.value <= 1e-11 and abs(low.value - known) <= 1e-11
    assert len(check_certificate(found.network, found.certificate)) == 5


def test_the_saddle_of_five():
    found = prove(symmetric_critical_point(5))
    assert found.is_saddle and not found.is_spurious_minimum
    assert found.eigenvalue_high.value == pytest.approx(-0.0077015, abs=1e-7)


def test_the_type_by_differences_of_the_gradient():
    """Independent of closed Hessian and balls: the eigenvalues, and a step that descends from the saddle only."""
    for k, descends in ((5, True), (6, False)):
        w = symmetric_critical_point(k)
        value, slope = student_loss(w)
        assert np.abs(slope).max() < 1e-14
        steps = 1e-5 * np.eye(k * k).reshape(-1, k, k)
        bend = np.array([(student_loss(w + s)[1] - student_loss(w - s)[1]).ravel() / 2e-5 for s in steps])
        values, vectors = np.linalg.eigh((bend + bend.T) / 2)
        assert values[0] == pytest.approx(-0.0077015 if descends else 0.0047004, abs=1e-6)
        direction = 0.003 * vectors[:, 0].reshape(k, k)
        assert max(student_loss(w + s * direction)[0] < value for s in (1, -1)) == descends


def test_other_sizes():
    for k in (7, 9):
        found = prove(symmetric_critical_point(k))
        assert found.is_spurious_minimum


def test_gradient_by_differences():
    w = np.random.Generator(np.random.Philox(3)).normal(size=(4, 3))
    _, slope = student_loss(w)
    for i in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[i] = 1e-6
        difference = (student_loss(w + step)[0] - student_loss(w - step)[0]) / 2e-6
        assert slope[i] == pytest.approx(difference, abs=1e-8)
    assert student_loss(np.eye(4)[[2, 0, 1, 3]])[0] == pytest.approx(0, abs=1e-15)


def test_few_neurons_have_no_spurious_minimum_and_many_have():
    few, many = hit_rate(3, runs=15, seed=1), hit_rate(12, runs=20, seed=1)
    assert few.spurious == 0 and few.low == 0 and few.unfinished == 0
    assert many.low <= 0.576 <= many.high and many.runs == 20


@pytest.mark.slow
def test_the_hit_rate_of_ten():
    """T11: 2,000 runs; 34.6 % in the paper of Safran and Shamir."""
    found = hit_rate(10, runs=2000)
    assert abs(found.rate - 0.348) <= 0.03 and found.unfinished <= 5


def test_what_cannot_be_proved():
    with pytest.raises(CertificateError, match="Polish"):
        prove(np.array([[0.5, 0.9]]))
    with pytest.raises(PrecisionError, match="parallel"):
        polish(np.eye(3))
    with pytest.raises(DomainError, match="NaN"):
        prove(np.array([[np.nan, 1.0]]))
    for call in (prove, polish, student_loss):
        for wrong in (np.array([0.5, 1.0]), np.zeros((0, 2))):
            with pytest.raises(DomainError, match="no matrix"):
                call(wrong)
    with pytest.raises(DomainError, match="k = 5"):
        symmetric_critical_point(4)
    with pytest.raises(DomainError, match="no runs"):
        hit_rate(3, runs=0)
    with pytest.raises(DomainError, match="2 students for 3 neurons"):
        hit_rate(3, 2)


def test_fewer_students_than_neurons_are_never_called_spurious():
    """One student of two neurons: its minimum has F > 0 and is global, for there is no other up to symmetry."""
    found = prove(polish(np.array([[0.8, 0.8]])))
    assert found.eigenvalue_low.value > 0 and found.loss_low.value > 0
    assert not found.is_spurious_minimum
