"""The verb `learn`: Learn(eps, F)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.core.network_target import NetworkTarget
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.data import Sample
from epsnet.dictionaries.dictionary import Expansion
from epsnet.learning.expansions import learn_expansion
from epsnet.learning.formula import learn_formula
from epsnet.learning.strategies import COSTS, FORMULA_METHODS, Request

METHODS = ("auto", *FORMULA_METHODS, "train")
"""The strategies by name: "train" is for data, the others are for formulas; "auto" takes the cheapest that fits."""

_SMALLEST, _LARGEST = Fraction("1e-300"), Fraction("1e300")


def learn(
    target: Target | NetworkTarget | Expansion | Sample,
    eps: Real | None = None,
    *,
    test: Sample | Callable[[], Sample] | None = None,
    cost: str | None = None,
    weight_bound: Real | Literal["polynomial"] | None = None,
    skips: bool = False,
    activation: str = "relu",
    method: str = "auto",
    require: Kind | None = None,
    allow_assumptions: bool = False,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Any, int], None] | None = None,
    **training: Any,
) -> Solution:
    r"""Return a network Phi with ||F - Phi|| <= eps, its size, and a bound that was re-derived by the checker.

    For a formula F the network is the cheapest one that the strategies find; its error is VERIFIED, and for an interval
    so is how many pieces and neurons every ReLU network needs. For a network F it is a smaller one (`compress`) with a
    VERIFIED error. For a sample the network minimizes the empirical risk; its risk is bounded from points unused
    in training, STATISTICAL with confidence 1 - delta = 0.99.

    Args:
        target: a formula with its domain, a network with a box, an expansion in wavelets, or the sample to train on.
        eps: the accuracy, > 0: the norm of the error for a formula, the risk for data. For data it may be left out.
        test: data only: the sample the risk is measured on, or a function that reads it once training is over; by
            default a fifth of the sample is set aside.
        cost: what is to be small: for formulas "weights" (the default), "neurons", "depth" or "bits" of the file, for
            networks "bits" (the default) or "weights".
        weight_bound: formulas only: no weight may be larger than this; "polynomial" stands for
            (1 + 1/eps) max(1, |D|, sup |F|), with |D| the longest side of the domain and F sampled.
        skips: formulas only: take skip connections where they save weights that only hand a signal on.
        activation: of the hidden neurons; formulas: other than "relu" only with one hidden layer.
        method: one of `METHODS`.
        require: the weakest kind of bound to accept; VERIFIED for formulas and STATISTICAL for data by default.
        allow_assumptions: accept a PROVED or VERIFIED bound that rests on assumptions.
        seed: fixes everything random: training, and the starts of the fits of "deep".
        checkpoint: data only: the file that keeps the state of training.
        resume: data only: start from the state in `checkpoint`.
        progress: data only: called with the record of each epoch and the number of epochs.
        **training: data only: options of `epsnet.diff.fit`, such as hidden=(20, 20), epochs=30 or loss="square".

    Raises:
        DomainError: the input makes no sense.
        HypothesisError: no method here covers the request.
        CertificateError: eps or `require` was not reached; the best solution is attached as `best`.
    """
    accuracy = None if eps is None else exact(eps, "accuracy eps")
    if accuracy is not None and accuracy <= 0:
        raise DomainError(f"The accuracy eps = {eps} is not positive. Ask for something like 1e-3.")
    if accuracy is not None and not _SMALLEST <= accuracy <= _LARGEST:
        raise DomainError(f"The accuracy eps = {eps} is beyond the numbers of float64. Ask for something like 1e-3.")
    if method not in METHODS:
        raise DomainError(f"The method {method!r} is unknown. Use one of {', '.join(METHODS)}.")
    if isinstance(target, NetworkTarget | Expansion):
        others = (test, weight_bound, checkpoint, progress)
        if training or skips or activation != "relu" or method != "auto" or any(value is not None for value in others):
            raise DomainError("This target takes only eps, cost and require. Leave the other options out.")
        if accuracy is None:
            raise DomainError("A function needs an accuracy. Give eps, for example 1e-3.")
        if isinstance(target, Expansion):
            solution = learn_expansion(target, accuracy)
        else:
            solution = _learn_network(target, accuracy, cost)
        needed = require or Kind.VERIFIED
    elif isinstance(target, Target):
        if accuracy is None:
            raise DomainError("A formula needs an accuracy. Give eps, for example 1e-3.")
        if method == "train":
            raise HypothesisError(
                "The method 'train' learns from data, the target is a formula. Use 'piecewise-linear'."
            )
        if training or test is not None or checkpoint is not None:
            raise DomainError("Training options are for data, the target is a formula. Leave them out.")
        cost = cost or "weights"
        if cost not in COSTS:
            raise DomainError(f"The cost {cost!r} is unknown. Use one of {', '.join(COSTS)}.")
        limit = _weight_limit(target, accuracy, weight_bound)
        request = Request(target, accuracy, seed, activation, cost, limit, skips)
        solution = learn_formula(request, method)
        needed = require or Kind.VERIFIED
    elif isinstance(target, Sample):
        if method in FORMULA_METHODS:
            raise HypothesisError(f"The method {method!r} needs a formula, the target is data. Use 'train'.")
        if require in (Kind.PROVED, Kind.VERIFIED):
            raise HypothesisError(
                f"A risk can only be known as STATISTICAL from a sample, not {require.value}. Require STATISTICAL."
            )
        if cost not in (None, "weights") or weight_bound is not None or skips:
            raise DomainError("Costs, weight bounds and skips are for formulas, the target is data. Leave them out.")
        from epsnet.learning.data import learn_data

        if activation != "relu":
            training = {**training, "activation": activation}
        solution = learn_data(
            target, test, seed=seed, checkpoint=checkpoint, resume=resume, progress=progress, **training
        )
        needed = require or Kind.STATISTICAL
    else:
        raise DomainError(f"{type(target).__name__} is no target. Give a formula, a network, an expansion or a sample.")
    check(solution)
    return _accept(solution, accuracy, needed, allow_assumptions)


def _learn_network(target: NetworkTarget, eps: Fraction, cost: str | None) -> Solution:
    """Return a smaller network for a network on a box."""
    from epsnet.compression.compress import compress

    if target.sample is not None:
        raise DomainError("The error counts at points that the target only knows by their hash. Give them to compress.")
    return compress(target.network, target.domain, eps=eps, norm=target.norm, cost=cost or "bits")  # type: ignore[arg-type]


def _weight_limit(target: Target, eps: Fraction, bound: Real | str | None) -> Fraction | None:
    if bound is None:
        return None
    if bound != "polynomial":
        limit = exact(bound, "bound of the weights")
        if limit <= 0:
            raise DomainError(f"The bound {bound} of the weights is not positive. Give something like 10.")
        return limit
    box = target.domain
    sides = (high - low for low, high in zip(box.lower, box.upper, strict=True))
    low, high = (np.array([float(end) for end in ends]) for ends in (box.lower, box.upper))
    points = np.random.Generator(np.random.Philox(0)).uniform(low, high, (1000, box.dimension))
    largest = Fraction(float(np.abs(target(points if box.dimension > 1 else points[:, 0])).max()))
    return (1 + 1 / eps) * max(1, largest, *sides)


def _accept(solution: Solution, eps: Fraction | None, require: Kind, allow_assumptions: bool) -> Solution:
    error = solution.error
    if eps is not None and error.limit > eps:
        raise CertificateError(
            f"The {error.quantity} is at most {error.value:.6g}, not {float(eps):.6g} as asked. "
            f"Ask for less, or give more data or a larger network.",
            asked=float(eps), achieved=error.value, best=solution,
        )  # fmt: skip
    if not satisfies(error, require, allow_assumptions):
        raise CertificateError(
            f"The bound is {error.kind.value}{', with assumptions' if error.assumptions else ''}, "
            f"{require.value} was required. Require less{', or allow assumptions' if error.assumptions else ''}.",
            asked=float(eps or 0), achieved=error.value, best=solution,
        )  # fmt: skip
    return solution


def satisfies(bound: Bound, require: Kind, allow_assumptions: bool) -> bool:
    """Tell whether a bound may stand where a kind is required: a proof with unchecked assumptions only if allowed.

    A STATISTICAL bound always assumes how the sample was drawn, so assumptions do not disqualify it.
    """
    proof = require in (Kind.PROVED, Kind.VERIFIED)
    return bound.kind.satisfies(require) and (allow_assumptions or not (proof and bound.assumptions))
