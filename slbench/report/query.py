"""Conditions on the columns of a frame, as `slbench report --query` takes them; parsed and evaluated here alone.

    condition:  term {("or" | "|") term}
    term:       factor {("and" | "&") factor}
    factor:     ("not" | "~") factor | "(" condition ")" | comparison | column of true and false
    comparison: operand {("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") operand}
    operand:    single | "(" operand ")" | list of single ones in [] or ()
    single:     column | `column` | number | "text" | 'text' | true | false

Precedence is that of `pandas.DataFrame.query`. There are no functions, attributes or arithmetic, so that a query can do
nothing but select, in time that is linear in its length and in the rows.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slbench.errors import InputError
from slbench.text import choices, shown

if TYPE_CHECKING:
    import pandas as pd

MAX_LENGTH, MAX_DEPTH = 10_000, 50  # characters; parentheses and negations inside each other
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9][0-9_]*+(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?(?![\w.]))|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|`(?P<quoted>[^`]+)`|(?P<word>[^\W\d]\w*)|(?P<sign>==|!=|<=|>=|[<>()\[\],&|~+-]))"
)
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
OPERANDS = ("number", "text", "truth", "column")
WORDS = {"and": "&", "or": "|", "not": "~", "in": "in"}
TRUTH = {"true": True, "True": True, "false": False, "False": False}
ALLOWED = "; allowed: comparisons of columns, such as method == 'spt' and recipe_lr < 0.002; in, not in, and, or, not"


@dataclass(frozen=True)
class Token:
    """A part of a query: kind is "number", "text", "column", "truth", a sign or an operator; "end" comes last."""

    kind: str
    value: Any
    text: str


@dataclass(frozen=True)
class Operand:
    """Values of a column, or a literal that stands for every row."""

    text: str
    column: list[Any] | None = None
    literal: Any = None

    def rows(self, count: int) -> list[Any]:
        return [self.literal] * count if self.column is None else self.column


def select(frame: "pd.DataFrame", query: str) -> list[bool]:
    """Return which rows of a frame meet a condition; a comparison with a missing value does not hold, but != does.

    Args:
        query: such as "method in ['spt', 'both'] and not 0.001 < recipe_lr"; columns are those of the frame, and the
            name of its index.
    Raises:
        InputError: for anything else, with what is allowed.
    """
    columns = {str(name): frame[name].tolist() for name in frame}
    columns.setdefault(str(frame.index.name or "index"), frame.index.tolist())
    return Parser(query, columns, rows=len(frame)).parse()


def refused(query: str, problem: str, allowed: str = ALLOWED) -> InputError:
    """Return the error for a query."""
    return InputError(f"{problem} (got {shown(query)}){allowed}")


def tokens(query: str) -> list[Token]:
    """Return the parts of a query."""
    if len(query) > MAX_LENGTH:
        raise refused(query, f"longer than {MAX_LENGTH:,} characters")
    found, position, end = list[Token](), 0, len(query.rstrip())
    while position < end:
        match = TOKEN.match(query, position)
        if match is None:
            raise refused(query, f"not understood from {shown(query[position:].strip()[:20])} on")
        found.append(token(match))
        position = match.end()
    return [*found, Token("end", None, "its end")]


def token(match: "re.Match[str]") -> Token:
    """Return the part that a match has found."""
    kind, text = str(match.lastgroup), match[0].strip()
    value = match[kind]
    if kind == "number":
        plain = value.replace("_", "")
        return Token(kind, int(plain) if plain.isdigit() and len(plain) < 400 else float(plain), text)
    if kind == "text":
        return Token(kind, value[1:-1], text)
    if kind == "word" and value in TRUTH:
        return Token("truth", TRUTH[value], text)
    if kind == "sign" or (kind == "word" and value in WORDS):
        return Token(WORDS.get(value, value), value, text)
    return Token("column", value, text)


class Parser:
    """Recursive descent over the parts of a query, evaluating each as it is read.

    Args:
        columns: values of each column.
        rows: length of the columns.
    """

    def __init__(self, query: str, columns: Mapping[str, list[Any]], *, rows: int) -> None:
        self.query, self.columns, self.rows = query, columns, rows
        self.parts = tokens(query)
        self.position, self.depth = 0, 0

    def parse(self) -> list[bool]:
        result = self.condition()
        self.expect_end()
        return result

    def expect_end(self) -> None:
        if self.kind != "end":
            raise refused(self.query, f"not understood from {shown(self.parts[self.position].text)} on")

    @property
    def kind(self) -> str:
        return self.parts[self.position].kind

    def next(self) -> Token:
        self.position += 1
        return self.parts[self.position - 1]

    def take(self, *kinds: str) -> bool:
        """Step over the next part if it is of one of these kinds, and return whether it was."""
        is_so = self.kind in kinds
        self.position += is_so
        return is_so

    def condition(self) -> list[bool]:
        result = self.term()
        while self.take("|"):
            result = [one or other for one, other in zip(result, self.term(), strict=True)]
        return result

    def term(self) -> list[bool]:
        result = self.factor()
        while self.take("&"):
            result = [one and other for one, other in zip(result, self.factor(), strict=True)]
        return result

    def factor(self) -> list[bool]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise refused(self.query, f"more than {MAX_DEPTH} parentheses inside each other")
        if self.take("~"):
            result = [not each for each in self.factor()]
        elif self.kind == "(" and not self.depth_of_operand():
            result = self.in_parentheses()
        else:
            result = self.comparison()
        self.depth -= 1
        return result

    def in_parentheses(self) -> list[bool]:
        self.next()
        result = self.condition()
        self.expect(")")
        return result

    def depth_of_operand(self) -> int:
        """Return the number of parentheses around a single operand that comes next, as in ((seed)); 0 for others."""
        at = self.position
        while self.parts[at].kind == "(":
            at += 1
        depth = at - self.position
        at += self.parts[at].kind in ("-", "+")
        closing = [part.kind for part in self.parts[at + 1 : at + 1 + depth]]
        return depth if self.parts[at].kind in OPERANDS and closing == [")"] * depth else 0

    def expect(self, kind: str) -> None:
        if not self.take(kind):
            raise refused(self.query, f"expected {shown(kind)} before {shown(self.parts[self.position].text)}")

    def comparison(self) -> list[bool]:
        """Return a comparison, chained ones like 0 < seed < 3 included, or a column of true and false."""
        left = self.operand()
        result: list[bool] | None = None
        while (name := self.comparison_name()) is not None:
            right = self.operand(of_list=name in ("in", "not in"))
            found = self.compare(left, name, right)
            result = found if result is None else [a and b for a, b in zip(result, found, strict=True)]
            left = right
        return self.truth(left) if result is None else result

    def comparison_name(self) -> str | None:
        """Return the comparison that comes next, after stepping over it; None if there is none."""
        if self.kind in ORDERS:
            return self.next().kind
        if self.take("in"):
            return "in"
        if self.kind == "~" and self.parts[self.position + 1].kind == "in":
            self.position += 2
            return "not in"
        return None

    def operand(self, *, of_list: bool = False) -> Operand:
        """Return the next operand, without parentheses around it; with `of_list` they make a list of one literal."""
        depth = 0 if of_list else self.depth_of_operand()
        if depth > MAX_DEPTH:
            raise refused(self.query, f"more than {MAX_DEPTH} parentheses inside each other")
        self.position += depth
        result = self.plain_operand()
        self.position += depth
        return result

    def plain_operand(self) -> Operand:
        part = self.next()
        if part.kind in ("number", "text", "truth"):
            return Operand(part.text, literal=part.value)
        if part.kind in ("-", "+") and self.kind == "number":
            number = self.next()
            return Operand(part.text + number.text, literal=-number.value if part.kind == "-" else number.value)
        if part.kind == "column":
            return self.column(part)
        if part.kind in ("[", "("):
            return self.list_of_literals("]" if part.kind == "[" else ")")
        raise refused(self.query, f"expected a column, a number or a text before {shown(part.text)}")

    def column(self, part: Token) -> Operand:
        if part.value not in self.columns:
            raise refused(self.query, f"no such column: {shown(part.value)}", choices(self.columns, part.value))
        return Operand(part.text, column=self.columns[part.value])

    def list_of_literals(self, closing: str) -> Operand:
        values = list[Any]()
        while not self.take(closing):
            each = self.plain_operand()
            if each.column is not None or isinstance(each.literal, list):
                raise refused(self.query, f"a list must hold numbers and texts alone, not {shown(each.text)}")
            values.append(each.literal)
            if self.kind != closing:
                self.expect(",")
        return Operand("the list", literal=values)

    def compare(self, left: Operand, name: str, right: Operand) -> list[bool]:
        """Return a comparison of two operands row by row; == and != of a list are in and not in, as in pandas."""
        if isinstance(right.literal, list):
            if name not in ("in", "not in", "==", "!="):
                raise refused(self.query, f"a list cannot be compared by {name}; allowed: in, not in")
            is_in = name in ("in", "==")
            return [(value in right.literal) is is_in for value in left.rows(self.rows)]
        if name in ("in", "not in") or isinstance(left.literal, list):
            raise refused(self.query, f"{name}: needs a list on its right, such as [0, 1], not {shown(right.text)}")
        pairs = zip(left.rows(self.rows), right.rows(self.rows), strict=True)
        try:
            return [holds(name, one, other) for one, other in pairs]
        except TypeError as error:
            raise refused(self.query, f"{left.text} {name} {right.text}: a number and a text have no order") from error

    def truth(self, operand: Operand) -> list[bool]:
        """Return a column of true and false as a condition; missing values do not hold."""
        if self.kind not in ("&", "|", ")"):
            self.expect_end()
        values = operand.column if operand.column is not None else []
        known = [value for value in values if value == value]
        if not known or not all(isinstance(value, bool) for value in known):
            raise refused(self.query, f"{shown(operand.text)} is no condition; compare it, as in {operand.text} == ...")
        return [value is True for value in values]


def holds(name: str, one: Any, other: Any) -> bool:
    """Return whether a comparison holds; of missing values only != does."""
    if one != one or other != other:
        return name == "!="
    return ORDERS[name](one, other)
