"""GitHub Markdown in which texts of records and studies stay text."""

import re
from collections.abc import Iterable, Sequence

from slbench.text import one_line

ACTIVE = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|$)"  # escapes the next character
    r"|[*`~|]|(?<![^\W_])_|_(?![^\W_])"  # emphasis, code, cells; an underscore within a word means nothing
    r"|\](?=[(\[:])"  # ends the text of a link, of an image or of the definition of one
    r"|^(?=#{1,6}(?:\s|$)|[+-](?:\s|$)|-[-\s]*$|=+$)"  # begins a heading or an item, or underlines a heading
)
NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")  # an item of a list
TAG, QUOTE, ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"^>"), re.compile(r"&(?=#?\w+;)")


class Markup(str):
    """Text that is Markdown already, such as an escaped text in bold."""


def escape(text: str) -> str:
    """Return Markdown on one line that is displayed as a text: no markup, link, image or tag begins in it."""
    text = NUMBERED.sub(r"\1\\\2", ACTIVE.sub(r"\\\g<0>", one_line(text)))
    return QUOTE.sub("&gt;", TAG.sub("&lt;", ENTITY.sub("&amp;", text)))


def code_block(code: str, language: str) -> str:
    """Return a block of code; its fence is longer than any run of backticks in the code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code}\n{fence}"


def markdown_table(heads: Sequence[str], lines: Iterable[Sequence[str]], *, align: str = "") -> str:
    """Return a GitHub table, its columns as wide as their longest cell; texts are escaped unless they are `Markup`.

    Args:
        align: "l" or "r" for each column, as LaTeX has it; columns beyond it are aligned to the left.
    """
    rows = [[cell if isinstance(cell, Markup) else escape(cell) for cell in line] for line in (heads, *lines)]
    sides = align.ljust(len(heads), "l")
    widths = [max(len(column[0]) + 2, *map(len, column)) for column in zip(*rows, strict=True)]
    places = [f"{'<' if side == 'l' else '>'}{width}" for side, width in zip(sides, widths, strict=True)]
    dashes = ["-" * (width + 1) for width in widths]
    rule = [f":{line}" if side == "l" else f"{line}:" for side, line in zip(sides, dashes, strict=True)]
    head, *body = [f"| {' | '.join(map(format, row, places))} |" for row in rows]
    return "\n".join([head, f"|{'|'.join(rule)}|", *body])
