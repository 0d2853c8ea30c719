"""Strategies: seeds that are cut, repeated and spliced, and JSON documents with one changed value."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden_store"
EXTREMES = ("0", "-1", "1e309", "nan", "-inf", "1e-320", "9" * 25, "9" * 5000, "true", "''", "[]", "{}", "[[", "'", '"')
PIECES = (
    *EXTREMES,
    "\x00",
    "\x1b[31m",
    "\ufeff",
    "\u202e",
    "é",
    "\n",
    "=",
    ".",
    "#",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "\\",
    "(" * 999,
)


def lines_of(name: str) -> list[str]:
    """Return the seeds of a file of the corpus, one a line."""
    return (CORPUS / name).read_text(encoding="utf-8").splitlines()


@st.composite
def edited(draw: st.DrawFn, seeds: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """Draw a seed with up to four parts removed, repeated, overwritten or taken from another seed."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from((0, 1, 1, 2, 4, 8, 30, 200))))
        match draw(st.integers(0, 4)):
            case 0:
                part = b""
            case 1:
                part = content[start:stop] * draw(st.integers(2, 40))
            case 2:
                part = draw(st.sampled_from(pieces))
            case 3:
                part = draw(st.binary(max_size=8))
            case _:
                other = draw(st.sampled_from(seeds))
                place = draw(st.integers(0, len(other)))
                part = other[place : place + draw(st.integers(0, 200))]
        content = content[:start] + part + content[stop:]
    return content


def edited_text(seeds: Sequence[str], pieces: Sequence[str] = PIECES) -> st.SearchStrategy[str]:
    """Draw edited text."""
    encoded = [[text.encode() for text in texts] for texts in (seeds, pieces)]
    return edited(*encoded).map(lambda content: content.decode(errors="replace"))


def values() -> st.SearchStrategy[Any]:
    """Draw a value of JSON or TOML, extreme numbers and odd text included."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from((0, -1, 2**31, 2**63, 10**25, 10**400)),
        st.floats(),
        st.sampled_from((math.nan, math.inf, -math.inf, 1e308, 5e-324, 100.0, 101.0)),
        st.text(max_size=12),
        st.sampled_from(("../x", "/dev/zero", "\x1b[31m", "\x00", "x" * 5000, "99", "none", "=1+1")),
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    )


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@st.composite
def changed(draw: st.DrawFn, document: Any, new: st.SearchStrategy[Any] | None = None) -> Any:
    """Draw a document with one or two values changed, removed or added."""
    document, new = copy.deepcopy(document), values() if new is None else new
    for _ in range(draw(st.integers(1, 2))):
        *heads, last = draw(st.sampled_from(places(document)[1:]))
        holder = document
        for key in heads:
            holder = holder[key]
        match draw(st.integers(0, 5)):
            case 0:
                del holder[last]
                return document
            case 1 if isinstance(holder, dict):
                holder[draw(st.text(max_size=6))] = draw(new)
            case _:
                holder[last] = draw(new)
    return document
