"""What a rule sees, what it answers, and how the kernel finds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from epsnet.certify.bound import Arithmetic, Bound, Kind, Norm, Sense
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.core.network import Network
from epsnet.core.simplify import replay
from epsnet.core.solution import AnyTarget
from epsnet.core.target import Target

MAX_NODES = 4_000_000
"""The largest bisection tree of a witness."""

MAX_COORDINATES = 16 * MAX_NODES
"""The most coordinates of the cells of a tree: a chain of cuts holds all its cells at once."""

_MAX_LOG = 1_000_000

Corner = tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """A claim with everything its rule may look at."""

    claim: Bound
    premises: tuple[Bound, ...]
    network: Network
    target: AnyTarget | None
    witness: Witness

    def require(self, condition: bool, message: str) -> None:
        """Raise a CheckError unless the condition holds. Never `assert`, which python -O removes."""
        if not condition:
            raise CheckError(message)

    def states(
        self,
        quantity: str,
        sense: Sense,
        *,
        premises: int = 0,
        norm: Norm | None = None,
        measure: str | None = None,
        arithmetic: Arithmetic = "exact",
        domain: bool = True,
        eps: bool = False,
        network: bool = False,
        target: bool = False,
    ) -> None:
        """Require the claim to be of one form in every field that a reader sees; no field is left to chance."""
        claim = self.claim
        same = (claim.quantity, claim.sense, claim.norm, claim.measure, claim.arithmetic) == (
            quantity, sense, norm, measure, arithmetic,
        )  # fmt: skip
        given = [item is not None for item in (claim.domain, claim.eps, claim.network, claim.target)]
        self.require(
            same and given == [domain, eps, network, target] and len(self.premises) == premises,
            f"It is not of the form that {claim.theorem} proves. Build it anew.",
        )

    def domain(self) -> Box:
        """Return the domain of a claim that has one."""
        if self.claim.domain is None:
            raise CheckError("The claim has no domain. Build it anew.")
        return self.claim.domain

    def formula(self) -> Target:
        """Return the target of a claim about a formula, whose domain contains that of the claim."""
        if not isinstance(self.target, Target) or not self.target.domain.contains(self.domain()):
            raise CheckError("The target is not a formula on the domain of the claim. Build it anew.")
        return self.target

    def array(self, name: str, kind: str) -> np.ndarray:
        """Return a vector of the witness. CheckError if it is missing or of another type ("i" or "f")."""
        array = self.witness.get(name)
        if array is None or array.dtype.kind != kind or array.ndim != 1 or not np.isfinite(array).all():
            raise CheckError(f"The witness has no valid array {name!r}. Build it anew.")
        return array

    def log(self) -> list[Any]:
        """Return the log of the witness: JSON, one integer for each byte."""
        text = self.array("log", "i")
        plain = len(text) <= _MAX_LOG and bool(((text >= 0) & (text < 128)).all())
        self.require(plain, "The log is malformed. Build it anew.")
        steps = json.loads(text.astype(np.uint8).tobytes())
        self.require(isinstance(steps, list), "The log is malformed. Build it anew.")
        return steps

    def require_network(self, built: Network) -> None:
        """Require the network of the claim to be `built`, or what a log of `core.simplify` makes of it on the domain.

        Every step of the log is verified as it is taken again.
        """
        if "log" in self.witness:
            built = replay(built, self.domain(), self.log())
        self.require(
            built.sha256 == self.network.sha256,
            "The network is not that of the witness: the hash differs. Build it anew.",
        )

    def leaves(self) -> Iterator[tuple[Corner, Corner]]:
        """Yield the leaves (lower, upper) of the bisection tree of the witness; they cover the domain of the claim.

        The tree is stored in prefix order: `axis` (-1 for a leaf) and `split`, the place of the cut. Every inner node
        cuts its own cell in two, so the leaves cover the domain if all of the tree is used up; that is checked when
        the last leaf has been taken.
        """
        axes, splits = self.array("axis", "i").tolist(), self.array("split", "f").tolist()
        self.require(len(axes) == len(splits) <= MAX_NODES, "The tree is malformed or too large. Build it anew.")
        small = len(axes) * self.domain().dimension <= MAX_COORDINATES
        self.require(small, "The tree is too large for so many dimensions. Use fewer cells.")
        stack: list[tuple[Corner, Corner]] = [(self.domain().lower, self.domain().upper)]
        for axis, split in zip(axes, splits, strict=True):
            self.require(bool(stack), "The tree has nodes beyond its last leaf. Build it anew.")
            lower, upper = stack.pop()
            if axis < 0:
                yield lower, upper
                continue
            cut = Fraction(split)
            inside = axis < len(lower) and lower[axis] < cut < upper[axis]
            self.require(inside, "A cut lies outside its cell. Build it anew.")
            stack.append(((*lower[:axis], cut, *lower[axis + 1 :]), upper))
            stack.append((lower, (*upper[:axis], cut, *upper[axis + 1 :])))
        self.require(not stack, "The tree does not cover the domain. Build it anew.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule established: the kind, what it checked and had to assume, and the probability it may fail with."""

    kind: Kind
    hypotheses: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    delta: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the closed list: the theorems it may prove and the function that checks a claim."""

    theorems: frozenset[str]
    check: Callable[[Context], Verdict]
