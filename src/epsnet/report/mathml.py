r"""Formulas as MathML, which browsers set without scripts or fonts from elsewhere.

`latex` reads the part of LaTeX that the registry of theorems is written in, `prose` a text with formulas between
dollars, `expression` a formula target, `statement` what a bound claims.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from epsnet.certify.bound import Bound
from epsnet.certify.domain import Box, number_text
from epsnet.certify.rounding import decimal_text, round_down
from epsnet.core.expression import Expression, number
from epsnet.report.page import Content, Markup, element

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)

_LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "ell": "ℓ",
    "infty": "∞", "emptyset": "∅", "prime": "′", "top": "⊤", "nabla": "∇", "partial": "∂",
}  # fmt: skip
_OPERATORS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "ll": "≪", "gg": "≫", "sim": "∼", "simeq": "≃",
    "approx": "≈", "equiv": "≡", "in": "∈", "notin": "∉", "subset": "⊂", "subseteq": "⊆", "cup": "∪", "cap": "∩",
    "setminus": "∖", "to": "→", "mapsto": "↦", "Rightarrow": "⇒", "iff": "⇔", "cdot": "⋅", "times": "×", "circ": "∘",
    "odot": "⊙", "otimes": "⊗", "oplus": "⊕", "pm": "±", "forall": "∀", "exists": "∃", "mid": "|", "colon": ":",
    "dots": "…", "ldots": "…", "cdots": "⋯", "int": "∫", "wedge": "∧", "vee": "∨", "perp": "⊥", "*": "∗",
    "supset": "⊃", "supseteq": "⊇",
}  # fmt: skip
_RELATIONS = {
    element("mo", sign, form="infix")
    for sign in (
        "=",
        "<",
        ">",
        "≤",
        "≥",
        "≠",
        "≪",
        "≫",
        "∼",
        "≃",
        "≈",
        "≡",
        "∈",
        "⊂",
        "⊆",
        "⊃",
        "⊇",
        "→",
        "↦",
        "⇒",
        "⇔",
    )
}
"""The operators after which a line may be broken; the form keeps their space where they end a piece."""
_FENCES = {"|": "|", "\\|": "‖", "(": "(", ")": ")", "[": "[", "]": "]", "\\{": "{", "\\}": "}", "/": "/"} | {
    "\\" + name: sign
    for name, sign in {
        "vert": "|", "lvert": "|", "rvert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "langle": "⟨", "rangle": "⟩",
        "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
    }.items()
}  # fmt: skip
_LIMITS = {"sum": "∑", "prod": "∏"} | {name: name for name in ("sup", "inf", "max", "min", "lim", "limsup", "liminf")}
_NAMES = ("log", "ln", "exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "det", "dim", "ker", "rank", "deg", "Pr")
_SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", " ": "0.3em", "quad": "1em", "qquad": "2em"}
_ACCENTS = {
    "hat": "^",
    "widehat": "^",
    "tilde": "~",
    "widetilde": "~",
    "bar": "¯",
    "overline": "¯",
    "vec": "→",
    "dot": "˙",
}
_SIZES = {"left", "right", "bigl", "bigr", "Bigl", "Bigr", "big", "Big", "bigm", "Bigm", "displaystyle", "limits", "!"}
_BLACKBOARD = dict(zip("CEHNPQRSTZ1", "ℂ𝔼ℍℕℙℚℝ𝕊𝕋ℤ𝟙", strict=True))
_SCRIPT = {chr(65 + i): chr(0x1D49C + i) for i in range(26)} | {
    "B": "ℬ", "E": "ℰ", "F": "ℱ", "H": "ℋ", "I": "ℐ", "L": "ℒ", "M": "ℳ", "R": "ℛ",
}  # fmt: skip

_LONGEST = 160
"""Characters of a formula target beyond which it is shown as it is typed."""
_LONGEST_NUMBER = 12
_LARGEST_DENOMINATOR = 100
"""A number with a larger one is written as a decimal."""


def latex(text: str) -> Content:
    """Return a LaTeX formula as MathML, which may be broken after a relation; an unknown command stays visible."""
    pieces: list[list[Markup]] = [[]]
    for item in _Reader(text).items():
        pieces[-1].append(item)
        if item in _RELATIONS:
            pieces.append([])
    return [
        (element("wbr") if number else None, element("math", piece)) for number, piece in enumerate(pieces) if piece
    ]


def prose(text: str) -> Content:
    """Return a text whose formulas stand between dollars, as the statements of the registry do."""
    parts = text.split("$")
    content: list[Content] = [parts[0]]
    for inside, after in zip(parts[1::2], parts[2::2], strict=False):
        # Browsers would let a line begin with the comma behind a formula.
        mark = after[:1] if after[:1] in tuple(",.;:)") else ""
        *start, last = latex(inside) or [""]
        content += [start, element("span", last, mark, class_="together") if mark else last, after[len(mark) :]]
    return content


def formula(*parts: Content) -> Markup:
    """Return MathML elements as one formula, with limits below and fractions in full size."""
    return element("math", element("mrow", parts), displaystyle="true")


class _Reader:
    """Reads LaTeX token by token."""

    def __init__(self, text: str) -> None:
        self.tokens = [token for token in _TOKEN.findall(text) if not token.isspace()]
        # Inside \text and \mathrm spaces count, so these are cut out of the text as it stands.
        self.words = iter(re.findall(r"\\(?:text|mathrm|operatorname)\s*\{([^{}]*)\}", text))
        self.place = 0

    def row(self, end: str = "") -> Markup:
        """Read up to a token, or to the end, as one element."""
        return element("mrow", list(self.items(end)))

    def items(self, end: str = "") -> Iterator[Markup]:
        """Read up to a token, or to the end."""
        while self.place < len(self.tokens):
            if self.tokens[self.place] == end:
                self.place += 1
                return
            yield self._scripted()

    def _next(self) -> str:
        token = self.tokens[self.place] if self.place < len(self.tokens) else ""
        self.place += 1
        return token

    def _accept(self, *tokens: str) -> str:
        if self.place < len(self.tokens) and self.tokens[self.place] in tokens:
            return self._next()
        return ""

    def _scripted(self) -> Markup:
        limits = self.place < len(self.tokens) and self.tokens[self.place][1:] in _LIMITS
        base, below, above = self._atom(), Markup(), Markup()
        while sign := self._accept("_", "^", "'"):
            if sign == "_":
                below = self._atom()
            else:
                above = Markup(above + (element("mo", "′") if sign == "'" else self._atom()))
        if not below and not above:
            return base
        above = element("mrow", above) if above else above
        tag = ("munder" if limits else "msub") if below else ""
        tag = (tag + ("over" if limits else "sup") if below else "mover" if limits else "msup") if above else tag
        return element(tag, base, below, above)

    def _atom(self) -> Markup:
        token = self._next()
        name = token[1:] if token.startswith("\\") else ""
        if token == "{":
            return self.row("}")
        if token in _FENCES:
            return _fence(_FENCES[token])
        if name in ("frac", "tfrac", "dfrac"):
            return element("mfrac", self._argument(), self._argument())
        if name == "binom":
            return element("mrow", _fence("("), element("mfrac", self._argument(), self._argument(), linethickness="0"),
                           _fence(")"))  # fmt: skip
        if name == "sqrt":
            return element("msqrt", self._argument())
        if name in ("text", "mathrm", "operatorname"):
            self._atom()
            word = next(self.words, "")
            return element("mtext", word.replace(" ", "\u00a0")) if name == "text" else _name(word)
        if name in ("mathbb", "mathcal"):
            self._accept("{")
            letter = self._next()
            self._accept("}")
            return element("mi", (_BLACKBOARD if name == "mathbb" else _SCRIPT).get(letter, letter))
        if name in _ACCENTS:
            return element("mover", self._argument(), element("mo", _ACCENTS[name], stretchy="false"), accent="true")
        if name in _LIMITS:
            return element("mo", _LIMITS[name], movablelimits="true", lspace="0", rspace="0.1667em")
        if name in _LETTERS:
            return element("mo" if name == "prime" else "mi", _LETTERS[name])
        if name in _OPERATORS:
            return _infix(_OPERATORS[name])
        if name in _NAMES:
            return _name(name)
        if name in _SPACES:
            return element("mspace", width=_SPACES[name])
        if name in _SIZES:
            self._accept(".")
            return Markup()
        if name:
            return element("mtext", token)
        return _character(token)

    def _argument(self) -> Markup:
        """Read one operand; of several digits the first alone."""
        token = self.tokens[self.place] if self.place < len(self.tokens) else ""
        if token.isdigit() and len(token) > 1:
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self._atom()


def _character(token: str) -> Markup:
    if token[:1].isdigit():
        return element("mn", token)
    if token.isalpha():
        return element("mi", token)
    if token in (",", ";"):
        return element("mo", token, separator="true")
    return _infix(token)


def _infix(sign: str) -> Markup:
    relation = element("mo", sign, form="infix")
    return relation if relation in _RELATIONS else element("mo", "−" if sign == "-" else sign)


def _name(word: str) -> Markup:
    return element("mi", word, mathvariant="normal" if len(word) == 1 else None)


def _fence(sign: str) -> Markup:
    # Browsers would stretch a lone bar and put space around it as around a relation.
    return element("mo", sign, stretchy="false", lspace="0", rspace="0")


def _mn(text: str) -> Markup:
    return element("mn", text)


def _operator(sign: str) -> Markup:
    return element("mo", sign)


def expression(value: Expression) -> Markup:
    """Return the formula of a target as elements for `formula`; a long one as it is typed."""
    text = str(value)
    return element("mtext", text) if len(text) > _LONGEST else _print(value)[0]


def _print(node: Expression) -> tuple[Markup, int]:
    """Return MathML and precedence: 0 sum, 1 product, 3 power or fraction, 4 atom."""
    match node.op:
        case "number":
            return _rational(node.value)
        case "constant" | "variable":
            return _symbol(node.value), 4
        case "add":
            left, right = node.args
            opposite = _opposite(right)
            sign, term = ("+", _wrap(right, 0)) if opposite is None else ("−", _wrap(opposite, 1))
            return element("mrow", _wrap(left, 0), _operator(sign), term), 0
        case "multiply":
            return _product(node)
        case "power":
            return element("msup", _wrap(node.args[0], 4), _mn(str(node.value))), 3
        case _:
            return _application(node.value, node.args[0])


def _rational(value: Fraction) -> tuple[Markup, int]:
    if value < 0:
        return element("mrow", _operator("−"), _rational(-value)[0]), 0
    if value.denominator == 1 or value.denominator > _LARGEST_DENOMINATOR:
        text = number_text(value)
        return _mn(text), 1 if "/" in text else 4
    return element("mfrac", _mn(str(value.numerator)), _mn(str(value.denominator))), 3


def _symbol(name: str) -> Markup:
    if name == "pi":
        return element("mi", "π")
    letter = element("mi", name[0])
    return element("msub", letter, _mn(name[1:])) if len(name) > 1 else letter


def _product(node: Expression) -> tuple[Markup, int]:
    """Print a product with one coefficient in front and what it divides by below."""
    opposite = _opposite(node)
    if opposite is not None:
        return element("mrow", _operator("−"), _wrap(opposite, 1)), 0
    coefficient, above, below = Fraction(1), [], []
    waiting = [node]
    while waiting:
        factor = waiting.pop()
        if factor.op == "multiply":
            waiting.extend(reversed(factor.args))
        elif factor.op == "number":
            coefficient *= factor.value
        elif factor.op == "apply" and factor.value == "reciprocal":
            below.append(factor.args[0])
        else:
            above.append(factor)
    if coefficient.denominator > _LARGEST_DENOMINATOR:
        above.insert(0, number(coefficient))
    else:
        above[:0] = [number(coefficient.numerator)] * (coefficient.numerator != 1)
        below[:0] = [number(coefficient.denominator)] * (coefficient.denominator != 1)
    if below:
        return element("mfrac", _factors(above), _factors(below)), 3
    return _factors(above), 1


def _factors(factors: list[Expression]) -> Markup:
    if len(factors) < 2:
        return _print(factors[0])[0] if factors else _mn("1")
    air = element("mspace", width="0.12em")
    return element("mrow", ((air if place else None, _wrap(factor, 2)) for place, factor in enumerate(factors)))


def _application(name: str, argument: Expression) -> tuple[Markup, int]:
    inside = _print(argument)[0]
    match name:
        case "reciprocal":
            return element("mfrac", _mn("1"), inside), 3
        case "exp":
            return element("msup", element("mi", "e"), inside), 3
        case "sqrt":
            return element("msqrt", inside), 4
        case "abs":
            return element("mrow", _fence("|"), inside, _fence("|")), 4
        case _:
            return element("mrow", _name(name), _parentheses(inside)), 4


def _opposite(node: Expression) -> Expression | None:
    """Return -node if node is written with a minus in front, else None."""
    if node.op == "number" and node.value < 0:
        return number(-node.value)
    if node.op == "multiply":
        left = _opposite(node.args[0])
        if left is not None:
            return node.args[1] if left.op == "number" and left.value == 1 else left * node.args[1]
    return None


def _wrap(node: Expression, least: int) -> Markup:
    inside, precedence = _print(node)
    return inside if precedence >= least else _parentheses(inside)


def _parentheses(inside: Content) -> Markup:
    # These stretch with a fraction inside; fences otherwise do not.
    return element("mrow", element("mo", "("), inside, element("mo", ")"))


def statement(bound: Bound) -> Content:
    """Return what a bound claims, in formulas with words between them, so that a narrow window can break the line.

    fl(Phi) is the network as evaluated in the arithmetic of the bound; g is any function of the class that a lower
    bound of complexity is about; D is a domain whose ends take too much room. An accuracy or a confidence with many
    digits is rounded down, which leaves the statement true.
    """
    network = latex_row(r"\mathrm{fl}(\Phi)" if bound.arithmetic != "exact" else r"\Phi")
    relation = (_operator({"<=": "≤", ">=": "≥", "==": "="}[bound.sense]), quantity(bound.decimal()))
    if bound.eps is not None:
        distance = _distance(bound, latex_row("F"), latex_row("g"))
        condition = (distance, _operator("≤"), _rounded_down(bound.eps))
        words = (formula(_call(bound.quantity, latex_row("g")), relation), " for every g with ", formula(condition))
    elif bound.quantity in ("error", "rounding"):
        first = latex_row("F" if bound.quantity == "error" else r"\Phi")
        words = (formula(_distance(bound, first, network), relation),)
    else:
        on = None if bound.domain is None else (" on ", formula(_box(bound.domain)))
        words = (formula(_call(bound.quantity, network if bound.network else None), relation), on)
    confidence = (" with confidence ", formula(_rounded_down(1 - bound.delta))) if bound.delta else None
    return words, confidence


def latex_row(text: str) -> Markup:
    """Return a LaTeX formula as an element for `formula`."""
    return _Reader(text).row()


def quantity(text: str) -> Markup:
    """Return a decimal such as 1.5e-07 with its power of ten as an element for `formula`."""
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        sign, digits = (_operator("−"), text[1:]) if text.startswith("-") else (None, text)
        return element("mrow", sign, _mn(digits))
    power = element("msup", _mn("10"), quantity(str(int(exponent))))
    return element("mrow", quantity(mantissa), _operator("×"), power)


def _rounded_down(value: Fraction) -> Markup:
    text = number_text(value)
    short = len(text) <= _LONGEST_NUMBER
    return quantity(text if short else decimal_text(round_down(value), up=False, digits=6))


def _call(name: str, argument: Content) -> Markup:
    return element(
        "mrow",
        element("mtext", name.replace(" ", "\u00a0")),
        (_fence("("), argument, _fence(")")) if argument else None,
    )


def _distance(bound: Bound, first: Markup, second: Markup) -> Markup:
    place = None if bound.domain is None else _box(bound.domain)
    inside = (first, _operator("−"), second)
    if bound.norm == "L2":
        space = element("msup", element("mi", "L"), _mn("2"))
        if place is not None:
            space = element("mrow", space, _fence("("), place, _fence(")"))
        return element("mrow", _fence("‖"), inside, element("msub", _fence("‖"), space))
    if bound.norm is None:
        return element("mrow", inside)
    sup = element("mo", "sup", movablelimits="true", lspace="0", rspace="0.1667em")
    return element("mrow", element("munder", sup, place) if place else sup, _fence("|"), inside, _fence("|"))


def _box(box: Box) -> Markup:
    ends = [(number_text(low), number_text(high)) for low, high in zip(box.lower, box.upper, strict=True)]
    if len(ends) > 3 or max(len(text) for pair in ends for text in pair) > _LONGEST_NUMBER:
        return element("mi", "D")
    comma = element("mo", ",", separator="true")
    sides = [(_fence("["), quantity(low), comma, quantity(high), _fence("]")) for low, high in ends]
    return element("mrow", ((_operator("×") if position else None, side) for position, side in enumerate(sides)))
