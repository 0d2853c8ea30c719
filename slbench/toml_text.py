"""TOML within limits of size and nesting, which tomllib does not have."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slbench.errors import InputError, unreadable
from slbench.files import read_regular
from slbench.text import shown

MAX_BYTES = 1_000_000  # of a file
MAX_NESTING = 20  # tables and lists inside each other; parts of a dotted key
MAX_KEY = 200  # characters of a key, or of a part of a dotted one
MAX_INT, MIN_INT = 2**63 - 1, -(2**63)  # of TOML

TEXTS_AND_COMMENTS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
LONG_KEY = re.compile(rf"(?:\.[^.=,\n]*+){{{MAX_NESTING}}}")


class InvalidTomlError(InputError):
    """Text that is not TOML."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        FileNotFoundError: for a missing file.
        InputError: for anything that is not a readable file of valid TOML within the limits.
    """
    try:
        text = read_regular(path, max_bytes=MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text") from error
    return parse_toml(text, where=str(path))


def parse_toml(text: str, *, where: str) -> dict[str, Any]:
    """Return the content of a TOML text.

    Raises:
        InputError: for invalid TOML, or beyond the limits of nesting, of keys and of integers.
    """
    import tomllib

    too_deep = InputError(f"{where}: not valid TOML: more than {MAX_NESTING} tables, lists or parts of a key nested")
    if LONG_KEY.search(TEXTS_AND_COMMENTS.sub("", text)):  # tomllib takes the square of the number of parts
        raise too_deep
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise too_deep from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidTomlError(f"{where}: not valid TOML: {error}") from error
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"{where}: not valid TOML: {str(error).partition(';')[0]}") from error
    if nesting(content) > MAX_NESTING:
        raise too_deep
    for key in keys(content):
        check_key(key, where)
    for value in integers(content):
        if not MIN_INT <= value <= MAX_INT:
            raise InputError(f"{where}: not valid TOML: an integer of more than 64 bits (got {shown(value)})")
    return content


def check_key(key: str, where: str) -> None:
    """Raise InputError for a key that is too long for a line of an error."""
    if len(key) > MAX_KEY:
        raise InputError(
            f"{where}: a key of {len(key):,} characters (got {shown(key)}); allowed: at most {MAX_KEY} characters"
        )


def children(value: Any) -> list[Any]:
    """Return the values of a table or the entries of a list; empty for others."""
    return list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []


def nesting(content: Any) -> int:
    """Return the number of tables and lists inside each other."""
    depth, level = 0, [content]
    while level := [child for value in level for child in children(value)]:
        depth += 1
    return depth


def keys(content: Any) -> Iterator[str]:
    """Yield all keys of a content that is not nested too deeply."""
    if isinstance(content, Mapping):
        yield from content
    for child in children(content):
        yield from keys(child)


def integers(content: Any) -> list[int]:
    """Return all integers of a content that is not nested too deeply."""
    if isinstance(content, int):
        return [content]
    return [number for child in children(content) for number in integers(child)]
