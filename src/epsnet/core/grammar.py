r"""The grammar of formulas.

Precedence from loose to tight (^ and ** are the same and bind to the right; -x^2 is -(x^2)):

    sum     := product (("+" | "-") product)*
    product := factor (("*" | "/") factor)*
    factor  := ("+" | "-") factor | power
    power   := atom (("^" | "**") factor)?
    atom    := NUMBER | NAME | NAME "(" sum ("," sum)* ")" | "(" sum ")"

NUMBER is a decimal such as 2, 0.1 or 1e-3 and means exactly that rational. The constants are pi and e; the functions
are those of `epsnet.core.functions` with log natural, and max, min. A variable is a letter, with digits if you like:
x, t, x1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from epsnet.certify.errors import DomainError
from epsnet.core.expression import (
    CONSTANTS,
    FORMULA_FUNCTIONS,
    MAX_LENGTH,
    MAX_NESTING,
    VARIABLE,
    Expression,
    apply,
    maximum,
    minimum,
    number,
    variable,
)

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<symbol>\*\*|[-+*/^(),]))",
    re.ASCII,
)


def parse(text: str) -> Expression:
    """Return the expression that `text` writes down.

    Raises:
        DomainError: an unknown name, a syntax error (with its place), or a formula beyond the limits.
    """
    if len(text) > MAX_LENGTH:
        raise DomainError(f"The formula has {len(text)} characters, more than {MAX_LENGTH}. Write it shorter.")
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokenize())
        self.position = 0
        self.nesting = 0

    def _tokenize(self) -> Iterator[tuple[str, str, int]]:
        place = 0
        while self.text[place:].strip():
            found = _TOKEN.match(self.text, place)
            if found is None:
                place += len(self.text[place:]) - len(self.text[place:].lstrip())
                raise self._error(f"{self.text[place]!r} does not belong in a formula", place)
            kind = found.lastgroup
            assert kind is not None
            yield kind, found[kind], found.start(kind)
            place = found.end()
        yield "end", "", len(self.text)

    def _error(self, what: str, place: int) -> DomainError:
        return DomainError(
            f"In the formula {self.text!r}, {what} (at character {place + 1}). "
            f"Write something like 'exp(-x^2) + sin(2*pi*x)'."
        )

    def _next(self) -> str:
        return self.tokens[self.position][1] if self.tokens[self.position][0] == "symbol" else ""

    def _take(self) -> tuple[str, str, int]:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def parse(self) -> Expression:
        result = self._sum()
        kind, text, place = self.tokens[self.position]
        if kind != "end":
            raise self._error(f"{text!r} is not expected", place)
        return result

    def _sum(self) -> Expression:
        result = self._product()
        while self._next() in ("+", "-"):
            sign = self._take()[1]
            term = self._product()
            result = result + term if sign == "+" else result - term
        return result

    def _product(self) -> Expression:
        result = self._factor()
        while self._next() in ("*", "/"):
            sign = self._take()[1]
            factor = self._factor()
            result = result * factor if sign == "*" else result / factor
        return result

    def _factor(self) -> Expression:
        sign = 1
        while self._next() in ("+", "-"):
            sign = -sign if self._take()[1] == "-" else sign
        base = self._atom()
        if self._next() in ("^", "**"):
            self._take()
            self._enter()
            base = base ** self._factor()
            self.nesting -= 1
        return base if sign == 1 else -base

    def _enter(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self._error(f"more than {MAX_NESTING} levels are nested", self.tokens[self.position][2])

    def _atom(self) -> Expression:
        kind, text, place = self._take()
        if kind == "number":
            exponent = re.search(r"[eE][+-]?0*(\d+)$", text)
            if exponent and (len(exponent[1]) > 3 or int(exponent[1]) > 400):
                raise self._error(f"the number {text} is out of range", place)
            if len(text) > 4000:
                raise self._error(f"a number has {len(text)} characters, more than 4000", place)
            return number(Fraction(text))
        if kind == "name" and self._next() == "(":
            return self._call(text, place)
        if kind == "name":
            if text in CONSTANTS:
                return Expression("constant", text)
            if VARIABLE.fullmatch(text):
                return variable(text)
            raise self._error(
                f"the name {text!r} is unknown; known are pi, e, {', '.join(FORMULA_FUNCTIONS)}, max, min "
                f"and variables such as x or x1", place
            )  # fmt: skip
        if text == "(":
            self._enter()
            inner = self._sum()
            self.nesting -= 1
            self._close()
            return inner
        raise self._error(f"{text!r} is not expected" if text else "the formula ends too early", place)

    def _close(self) -> None:
        _, text, place = self._take()
        if text != ")":
            raise self._error(
                f"a closing parenthesis is missing before {text!r}" if text else "a closing parenthesis is missing",
                place,
            )

    def _call(self, name: str, place: int) -> Expression:
        self._take()
        self._enter()
        arguments = [self._sum()]
        while self._next() == ",":
            self._take()
            arguments.append(self._sum())
        self.nesting -= 1
        self._close()
        if name in ("max", "min"):
            result = arguments[0]
            for argument in arguments[1:]:
                result = maximum(result, argument) if name == "max" else minimum(result, argument)
            return result
        if name not in FORMULA_FUNCTIONS:
            raise self._error(
                f"the name {name!r} is unknown; known functions are {', '.join(FORMULA_FUNCTIONS)}, max and min", place
            )
        if len(arguments) != 1:
            raise self._error(f"{name} takes one argument, not {len(arguments)}", place)
        return apply(name, arguments[0])
