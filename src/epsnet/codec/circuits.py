r"""A network as its program: the circuit that a squaring network is compiled from, with formula, domain and accuracy.

The file has the header of `format` with the number 3, and one stream: the length of the formula and its characters,
the ends of the domain, eps, the folds, the stages of the circuit with the lengths of their chains, their coefficients,
the sign gate. A coefficient is coded as 0 or not, 1 or not (where 0 and 1 are usual), else as a sign, the place of its
first bit, the length and the bits of its odd part, by counts for each kind of place.

The network of the program is `Circuit.network`: exact arithmetic, the same on every machine. The file says nothing of
the error but eps: that the network is so accurate has to be proved again, see `approximation.programs`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.codec.arithmetic import Coder, Contexts, Decoder, Encoder
from epsnet.codec.format import seal
from epsnet.codec.repeats import dyadic, new_dyadic, value_of
from epsnet.codec.tensors import MAX_BITS, rational
from epsnet.core.circuit import MAX_LEVELS, MAX_STAGES, Affine, Circuit, Sign, Stage
from epsnet.core.network import Network
from epsnet.core.target import Target

PROGRAM = 3
MAX_FORMULA = 4096
_MOST_CARRIED = 8
_MOST_DIGITS = 40


@dataclass(frozen=True)
class Program:
    """A network for a formula of one variable, as the circuit that it is compiled from.

    Attributes:
        target: F on an interval, in the sup norm, its variable being the one of the formula, or x.
        eps: the accuracy that is claimed and not proved here.
        circuit: what the network is made of.
    """

    target: Target
    eps: Fraction
    circuit: Circuit

    @functools.cached_property
    def network(self) -> Network:
        """The network."""
        return self.circuit.network()


def encode_program(program: Program) -> bytes:
    """Return the `.eps` file of a program.

    Raises:
        DomainError: the target cannot be told from its formula and domain, or a coefficient is no dyadic number.
    """
    target = program.target
    if target.domain.dimension != 1 or Target(target.title, target.domain).sha256 != target.sha256:
        raise DomainError("The target of a program is a formula of one variable in the sup norm. Give such a one.")
    circuit, sign = program.circuit, program.circuit.sign
    numbers = [n for s in circuit.stages for a in (s.form, *s.carried, s.linear, (s.gain,)) for n in a]
    numbers += [*circuit.output, *circuit.folds, *((sign.steepness, sign.middle) if sign else ())]
    if any(dyadic(value) is None for value in numbers):
        raise DomainError("A coefficient of the circuit is no dyadic number. Round it first.")
    coder = Encoder()
    _target(coder, target)
    _decimal(coder, program.eps)
    _circuit(coder, circuit)
    return seal(PROGRAM, coder.finish())


def decode_stream(stream: bytes) -> Program:
    """Return the program of a file without its header. CheckError, DomainError or ValueError unless it is one."""
    coder = Decoder(stream)
    return Program(_target(coder, None), _decimal(coder, Fraction(0)), _circuit(coder, None))


def _target(coder: Coder, target: Target | None) -> Target:
    text = (target.title if target else "").encode("ascii")
    length = coder.natural(len(text))
    if length > MAX_FORMULA:
        raise ValueError(f"a formula of more than {MAX_FORMULA:,} characters")
    formula = bytes(coder.uniform(text[k] if text else 0, 7) for k in range(length)).decode("ascii")
    lower, upper = (target.domain.lower[0], target.domain.upper[0]) if target else (Fraction(0), Fraction(1))
    upper = _decimal(coder, upper)
    lower = -upper if coder.uniform(int(lower == -upper), 1) else _decimal(coder, lower)
    return Target(formula, Box(lower, upper))


def _decimal(coder: Coder, value: Fraction) -> Fraction:
    """Code a rational, as n 10^-k where it is that with few digits."""
    if not coder.uniform(int(value != 0), 1):
        return Fraction(0)
    digits = next((k for k in range(_MOST_DIGITS) if (value * 10**k).denominator == 1), _MOST_DIGITS)
    if coder.uniform(int(digits == _MOST_DIGITS), 1):
        return rational(coder, value)
    negative, digits = coder.uniform(int(value < 0), 1), coder.natural(digits)
    if digits >= _MOST_DIGITS:
        raise ValueError(f"a number with {_MOST_DIGITS} digits or more")
    size = int(abs(value) * 10**digits)
    length = coder.natural(size.bit_length() - 1)
    if length > MAX_BITS:
        raise ValueError("a number is too large")
    size = 1 << length | coder.uniform(size & ((1 << length) - 1), length)
    return Fraction(-size if negative else size, 10**digits)


def _circuit(coder: Coder, circuit: Circuit | None) -> Circuit:
    contexts = Contexts(coder)
    folded = coder.natural(len(circuit.folds) if circuit else 0)
    count = 1 + coder.natural(len(circuit.stages) - 1 if circuit else 0)
    # Before anything by counts: a million zeros in a row take a few bits.
    if max(count, folded) > MAX_STAGES:
        raise ValueError("too many stages")
    folds = _affine(contexts, circuit.folds if circuit else None, folded, "fold")
    stages, signals = [], 1
    for index in range(count):
        stages.append(_stage(contexts, circuit.stages[index] if circuit else None, signals))
        signals = 1 + stages[-1].kept
    output = _affine(contexts, circuit.output if circuit else None, signals + 1, "form")
    sign = None
    if folds and coder.uniform(int(circuit is not None and circuit.sign is not None), 1):
        given = (circuit and circuit.sign) or Sign(0, Fraction(1), Fraction(0))
        fold = coder.natural(given.fold)
        steepness, middle = _affine(contexts, (given.steepness, given.middle) if circuit else None, 2, "sign")
        sign = Sign(fold, steepness, middle)
    return Circuit(folds, tuple(stages), output, sign)


def _stage(contexts: Contexts, stage: Stage | None, signals: int) -> Stage:
    levels = contexts.coder.natural(stage.levels - 1 if stage else 0) + 1
    carried = contexts.coder.natural(len(stage.carried) if stage else 0)
    kept = contexts.coder.natural(stage.kept if stage else 0)
    if carried > _MOST_CARRIED or kept > carried or levels > MAX_LEVELS:
        raise ValueError("a stage is too large")
    form = _affine(contexts, stage and stage.form, signals + 1, "form")
    beside = tuple(
        _affine(contexts, stage.carried[k] if stage else None, signals + 1, "carried") for k in range(carried)
    )
    gain = _affine(contexts, (stage.gain,) if stage else None, 1, "gain")[0]
    return Stage(form, beside, kept, gain, _affine(contexts, stage and stage.linear, carried + 2, "linear"), levels)


def _affine(contexts: Contexts, affine: Affine | None, length: int, kind: str) -> Affine:
    """Code coefficients; the places of 0 and 1 depend on the kind and on whether it is the first one, or the second."""
    found = []
    for index in range(length):
        value, place = affine[index] if affine else Fraction(0), min(index, 2)
        if not contexts.bit(int(value != 0), "some", kind, place):
            found.append(Fraction(0))
        elif not contexts.bit(int(value != 1), "other", kind, place):
            found.append(Fraction(1))
        else:
            found.append(value_of(new_dyadic(contexts, dyadic(value) or (0, 1, 0))))
    return tuple(found)
