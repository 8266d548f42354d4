"""Programs: short files from which the decoder builds the network and proves its error again."""

import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet.approximation.circuits import squaring_circuit
from epsnet.approximation.programs import load_proved, prove, shortest_program
from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.codec.circuits import Program, encode_program
from epsnet.codec.files import decode_file, save_file
from epsnet.codec.format import decode, encode
from epsnet.core.realize import realize
from epsnet.core.target import Target

F = Fraction


def assert_within(program, eps):
    """The checker proves the error of the decoded network, and samples agree."""
    solution = prove(program)
    report = check(solution)
    assert report.error.limit <= eps
    assert report.error.kind is Kind.VERIFIED
    low, high = (float(end[0]) for end in (program.target.domain.lower, program.target.domain.upper))
    x = np.linspace(low, high, 20_001)
    assert np.abs(program.target(x) - realize(solution.network, x)).max() <= eps
    return solution


@pytest.mark.parametrize(
    ("formula", "box", "eps"),
    [
        ("exp(x)", Box(0, 1), "1e-3"),
        pytest.param("cos(t)", Box(-1, 1), "1e-4", marks=pytest.mark.slow),
        pytest.param("sin(3*x)", Box("-0.5", "0.5"), "1e-3", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_program_is_found_written_read_and_proved_again(formula, box, eps):
    target, eps = Target(formula, box), F(eps)
    program, found = shortest_program(target, eps)
    content = encode_program(program)
    read = decode_file(content)
    assert read.network.sha256 == found.network.sha256
    assert (read.target.sha256, read.eps) == (target.sha256, eps)
    solution = assert_within(read, eps)
    assert len(content) <= 64
    explicit = encode(solution.network)
    assert len(explicit) <= 200
    assert decode(explicit).sha256 == found.network.sha256


EXP = "455053033a7d16c5de5f1c1478530201caa303e50b073b10bb739fd582af92bd6a64a5124c550f2393704639c3789182de76"


def test_exp_to_six_digits_takes_fifty_bytes():
    """Formula, domain, accuracy, network and checksum: all that the file holds is proved from it."""
    content = bytes.fromhex(EXP)
    program = decode_file(content)
    assert (str(program.target), program.eps) == ("F(x) = exp(x) on [0, 1] in the sup norm", F("1e-6"))
    solution = assert_within(program, F("1e-6"))
    assert len(content) <= 64
    assert len(encode(solution.network)) <= 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formula", "box"),
    [("exp(x)", Box(0, 1)), ("sqrt(x)", Box(1, 4)), ("sin(x)", Box("-3.141592653589794", "3.141592653589794"))],
    ids=str,
)
def test_six_digits(formula, box):
    program, found = shortest_program(Target(formula, box), F("1e-6"))
    assert_within(program, F("1e-6"))
    assert len(encode_program(program)) <= 80
    assert len(encode(found.network)) <= 200


def test_a_program_that_claims_too_much_is_not_proved():
    program = decode_file(bytes.fromhex(EXP))
    for lie in (
        Program(program.target, F("1e-7"), program.circuit),
        Program(Target("exp(x) + 1e-5", Box(0, 1)), program.eps, program.circuit),
        Program(Target("exp(x)", Box(0, 2)), program.eps, program.circuit),
    ):
        with pytest.raises(CertificateError):
            prove(lie)


def test_a_file_is_loaded_with_its_proof(tmp_path):
    program = decode_file(bytes.fromhex(EXP))
    solution = prove(program)
    for content in (program, solution):
        save_file(content, tmp_path / "exp.eps")
        assert check(load_proved(tmp_path / "exp.eps")).error.to_json() == solution.error.to_json()
    save_file(solution.network, tmp_path / "exp.eps")
    with pytest.raises(DomainError, match="a network and no proof"):
        load_proved(tmp_path / "exp.eps")


def test_what_no_circuit_covers_is_refused():
    with pytest.raises(HypothesisError):
        shortest_program(Target("x*y", Box([0, 0], [1, 1])), F("1e-2"))


def test_a_program_that_is_hard_to_prove_is_given_up():
    """What oscillates a million times cannot be covered by few cells: the reader stops instead of trying for hours."""
    target = Target("sin(1000000*x)*cos(1000000*x)", Box(0, 1))
    circuit = squaring_circuit(Target("x^2", Box(0, 1)), Fraction(1, 100)).circuit
    start = time.process_time()
    with pytest.raises(CertificateError):
        prove(Program(target, Fraction(3, 5), circuit))
    assert time.process_time() - start < 60


def test_a_program_whose_network_overflows_is_not_proved():
    circuit = squaring_circuit(Target("x^2", Box(0, 1)), Fraction(1, 100)).circuit
    huge = replace(circuit, output=tuple(Fraction(10) ** 308 * value for value in circuit.output))
    with pytest.raises(CertificateError, match="not proved"):
        prove(Program(Target("x^2", Box(0, 1)), Fraction(1, 2), huge))
