"""The .eps file with its proof: what comes back passes the checker from the bytes alone, and no damaged file does."""

import hashlib
import json
import lzma
import random
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from epsnet.approximation.piecewise_linear import piecewise_linear
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError, EpsnetError
from epsnet.checker.kernel import check
from epsnet.checker.rules.binomial import INDEPENDENCE, MEASURE, count_errors
from epsnet.codec import files
from epsnet.codec.arithmetic import Encoder
from epsnet.codec.circuits import Program, encode_program
from epsnet.codec.files import decode_file, encode_file, load_file, save_file, sections
from epsnet.codec.format import decode, encode, length_bound, seal
from epsnet.core.circuit import Circuit, Sign, Stage
from epsnet.core.network import Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution, Statements
from epsnet.core.target import DataTarget, Target
from epsnet.enclosure.distance import distance, ranges
from epsnet.statistics.binomial import clopper_pearson

F = Fraction


def of_formula():
    target = Target("exp(x)", Box(0, 1))
    found = piecewise_linear(target, F(1, 20))
    certificate = Certificate.of((found.error, found.minimal), found.witnesses)
    bits = 8 * len(network_bytes(found.network))
    return Solution(found.network, target, found.error, bits, certificate, found.minimal, {"seed": 0}, "a polygon")


def of_networks():
    one = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.0]], [0.0])])
    two = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.25]], [0.0])])
    return distance(one, two, Box(0, 1), gap=1e-2).solution


def of_data():
    network = Network.from_layers([([[1.0], [-1.0]], [0.0, 0.0])])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    labels = (x[:, 0] + 0.3 * rng.normal(size=200) < 0).astype(int)
    target = DataTarget.from_arrays("signs", x, labels)
    errors = count_errors(network, x, labels, None)
    risk = Bound(
        quantity="risk", sense="<=", value=clopper_pearson(errors, 200, F(1, 100)), kind=Kind.STATISTICAL,
        delta=F(1, 100), measure=MEASURE, arithmetic="float64", theorem="clopper-pearson", rule="binomial",
        hypotheses=(f"{errors} errors in 200 points",), assumptions=(INDEPENDENCE,), network=network.sha256,
        target=target.sha256,
    )  # fmt: skip
    return Solution(network, target, risk, 8 * len(network_bytes(network)), Certificate.of((risk,)))


def of_network():
    network = Network.from_layers([([[1.0, 2.0], [1.0, -1.0]], [0.0, -0.5]), ([[1.0, -2.0]], [0.25])])
    return ranges(network, Box([0, 0], [1, 1])).statements


SUBJECTS = {"formula": of_formula, "networks": of_networks, "data": of_data, "statements": of_network}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_file_is_checked_from_its_bytes_alone(name, tmp_path):
    subject = SUBJECTS[name]()
    parts = save_file(subject, tmp_path / "x.eps")
    content = (tmp_path / "x.eps").read_bytes()
    found = load_file(tmp_path / "x.eps")
    assert type(found) is type(subject)
    assert found.network.sha256 == subject.network.sha256
    data = (subject.target.inputs, subject.target.labels) if name == "data" else None
    claims = [bound.to_json() for bound in check(found, data=data).checked]
    assert claims == [bound.to_json() for bound in check(subject).checked]
    assert encode_file(found) == content
    assert parts == sections(content)
    assert parts.header + parts.network + parts.proof == len(content)
    assert 8 * (parts.network + 8) <= length_bound(found.network)
    if name == "data":
        with pytest.raises(CheckError):
            check(found)


def test_the_network_part_is_that_of_a_file_of_the_network_alone():
    solution = of_formula()
    alone, content = encode(solution.network), encode_file(solution)
    assert content[12 : 12 + len(alone) - 8] == alone[8:]
    assert isinstance(decode_file(alone), Network)
    with pytest.raises(CheckError, match="something else than a network alone"):
        decode(content)


def test_files_and_folders_are_read_by_their_names(tmp_path):
    solution, statements = of_formula(), of_network()
    for place in (tmp_path / "a.eps", tmp_path / "a"):
        files.save_solution(solution, place)
        assert files.load_solution(place).error.to_json() == solution.error.to_json()
    for place in (tmp_path / "s.eps", tmp_path / "s"):
        files.save_statements(statements, place)
        assert files.load_statements(place).network.sha256 == statements.network.sha256
    for place in (tmp_path / "n.eps", tmp_path / "n.safetensors"):
        files.save_network(solution.network, place)
        assert files.load_network(place).sha256 == solution.network.sha256
    assert files.load_network(tmp_path / "a.eps").sha256 == solution.network.sha256
    with pytest.raises(DomainError, match="holds a Statements, not a Solution"):
        files.load_solution(tmp_path / "s.eps")
    with pytest.raises(DomainError, match="does not exist"):
        load_file(tmp_path / "none.eps")
    (tmp_path / "bad.eps").write_bytes(b"EPS?")
    with pytest.raises(CheckError, match=r"bad\.eps cannot be read"):
        load_file(tmp_path / "bad.eps")


def circuit():
    first = Stage((F(1, 2), F(1, 2)), ((F(0), F(1)),), 0, F(3, 4), (F(1, 64), F(-5, 8), F(0)), 3)
    second = Stage((F(1, 8), F(1)), (), 0, F(-7, 2**20), (F(5), F(1)), 9)
    return Circuit((F(1, 4), F(0)), (first, second), (F(-3), F(1)), Sign(1, F(2), F(1, 2)))


def test_a_program_comes_back_with_its_network():
    for target in (
        Target("exp(x)", Box(0, 1)),
        Target("sin(t)", Box("-1/3", "2.5")),
        Target("1/(1 + y^2)", Box(-1, 1)),
    ):
        for eps in (F("1e-6"), F("2.5e-3"), F(1, 3), F(7)):
            program = Program(target, eps, circuit())
            content = encode_program(program)
            found = decode_file(content)
            assert (found.target.sha256, found.eps, found.circuit) == (target.sha256, eps, program.circuit)
            assert found.network.sha256 == program.circuit.network().sha256
            assert encode_file(found) == content
            assert sections(content).network == len(content) - 8


def test_a_circuit_with_endless_folds_is_refused_at_once():
    coder = Encoder()
    coder.natural(1)
    coder.uniform(ord("x"), 7)
    for bit in (1, 0, 0):  # the domain [0, 1]: 1 = 1 * 10^0
        coder.uniform(bit, 1)
    for value in (0, 0):
        coder.natural(value)
    for bit in (0, 0, 0):  # no opposite ends, the lower end 0, eps 0
        coder.uniform(bit, 1)
    coder.natural(2**60)
    with pytest.raises(CheckError, match="too many stages"):
        decode_file(seal(3, coder.finish() + bytes(64)))


def test_what_no_program_holds_is_refused():
    third = Circuit((), (Stage((F(0), F(1)), (), 0, F(1, 3), (F(0), F(0)), 2),), (F(0), F(1)))
    with pytest.raises(DomainError, match="no dyadic number"):
        encode_program(Program(Target("x", Box(0, 1)), F(1), third))
    for target in (Target("x*y", Box([0, 0], [1, 1])), Target("x", Box(0, 1), "L2")):
        with pytest.raises(DomainError, match="formula of one variable in the sup norm"):
            encode_program(Program(target, F(1), circuit()))


def forged(content):
    """Return the content with the right checksum for what it holds."""
    return content[:4] + hashlib.sha256(content[3:4] + content[8:]).digest()[:4] + content[8:]


def damaged(rng, content, other):
    """Return the content with bits flipped, bytes cut, inserted, doubled or zeroed, or with a part of another file."""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        place, length = rng.randrange(len(changed) + 1), rng.choice((1, 2, 4, 16, 200))
        match rng.randrange(7):
            case 0 | 1 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = rng.randbytes(length)
            case 4:
                changed[place:place] = changed[place : place + length]
            case 5:
                changed[place : place + length] = other[place : place + length]
            case _:
                changed += bytes(length)
    return bytes(changed)


def proved(network, proof):
    packed = lzma.compress(proof, lzma.FORMAT_RAW, filters=files._FILTERS)
    return seal(files.PROVED, len(network).to_bytes(4, "little") + network + packed)


def damaged_inside(rng, content, other):
    """Return a file with a proof: parts of what is compressed in it are changed, and all of it is sealed again."""
    end, other_end = (12 + sections(each).network for each in (content, other))
    return proved(content[12:end], damaged(rng, files._unpacked(content[end:]), files._unpacked(other[other_end:])))


@pytest.fixture(scope="module")
def contents():
    program = encode_program(Program(Target("x^2", Box(-1, 1)), F(1, 9), circuit()))
    subjects = [SUBJECTS[name]() for name in ("formula", "networks", "statements")]
    return [program, encode(subjects[0].network), *map(encode_file, subjects)]


def test_no_damaged_file_is_accepted(contents):
    rng = random.Random(0)
    for number in range(1000):
        content, other = contents[number % len(contents)], contents[rng.randrange(len(contents))]
        changed = damaged(rng, content, other)
        if changed not in contents:
            with pytest.raises(CheckError):
                decode_file(changed)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside the proof"])
def test_a_forged_checksum_never_makes_a_certificate_of_another_network_pass(contents, inside):
    """Whatever is accepted is a network or a program alone, or has a proof for the very network in the file."""
    rng, refused = random.Random(1), 0
    known = {decode_file(content).network.sha256 for content in contents[2:]}
    sources = contents[2:] if inside else contents
    for number in range(500):
        content, other = sources[number % len(sources)], sources[rng.randrange(len(sources))]
        changed = (
            damaged_inside(rng, content, other) if inside else forged(damaged(rng, content, other).ljust(9, b"\0"))
        )
        try:
            found = decode_file(changed)
            if isinstance(found, Solution | Statements):
                assert check(found).checked
                assert found.network.sha256 in known
        except CheckError:
            refused += 1
    assert refused > 250


def test_sections_of_two_files_do_not_make_a_third(contents):
    """The proof of one network with another network: it decodes, and the checker refuses it."""
    one, two = contents[2], contents[3]
    ends = [12 + sections(content).network for content in (one, two)]
    spliced = forged(one[:8] + two[8 : ends[1]] + one[ends[0] :])
    with pytest.raises(CheckError):
        check(decode_file(spliced))


def test_a_proof_that_grows_without_end_is_refused_early(contents, monkeypatch):
    network = contents[1][8:]
    monkeypatch.setattr(files, "MAX_PROOF", 2**20)
    bomb = proved(network, bytes(2**24))
    assert len(bomb) < 10_000
    tracemalloc.start()
    with pytest.raises(CheckError, match="not whole, or larger than"):
        decode_file(bomb)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_a_proof_that_is_much_text_is_refused_before_it_is_read(contents):
    """JSON takes 30 times as much memory as its text, which is compressed a thousand times."""
    text = b'{"__metadata__":{"epsnet":"[' + b"[]," * (files.MAX_TEXT // 3 + 1) + b'[]]"}}'
    text += b" " * (-len(text) % 8)
    bomb = proved(contents[1][8:], len(text).to_bytes(8, "little") + text)
    assert len(bomb) < 10_000
    tracemalloc.start()
    with pytest.raises(CheckError, match="bytes of text"):
        decode_file(bomb)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_a_proof_is_the_canonical_one(contents):
    """Other spaces, other orders, unused metadata: nothing that no writer wrote is read."""
    content = contents[2]
    end = 12 + sections(content).network
    proof = files._unpacked(content[end:])
    length = int.from_bytes(proof[:8], "little")
    header = json.loads(proof[8 : 8 + length])
    assert decode_file(proved(content[12:end], proof))
    data = json.loads(header["__metadata__"]["epsnet"])
    for change in ({"result": "x"}, {"extra": 1}, {"stats": {"seed": 0.0}}):
        header["__metadata__"]["epsnet"] = json.dumps({**data, **change})
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with pytest.raises(CheckError, match="cannot be read"):
            decode_file(proved(content[12:end], len(text).to_bytes(8, "little") + text + proof[8 + length :]))


def test_hostile_headers_cost_no_memory():
    rng = random.Random(2)
    tracemalloc.start()
    for kind in (1, 2, 3, 4, 255):
        for content in (b"", b"\xff" * 64, bytes(64), b"\xff\xff\xff\xff" + bytes(60), *map(rng.randbytes, [64] * 40)):
            try:
                decode_file(seal(kind, content))
            except EpsnetError as error:
                assert isinstance(error, CheckError)
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()
