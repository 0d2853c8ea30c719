"""Small pieces of text that messages, tables and captions share."""

import difflib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
NOTHING = "–"  # a cell without a value
SURROGATES = re.compile("[\ud800-\udfff]")  # bytes of file names that are no text
CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # sequences that color, move or set a title
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"  # and change directions
)
BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")

LOGIN = re.compile(r"(://[^:/@\s]*:)(\S*)(?=@)")  # up to the last @: a password may have one, if not as it should be
QUERY = re.compile(r"([?&](?:ssl)?(?:password|passwd|pwd|pass|secret|token)=)([^&\s]*)", re.IGNORECASE)


def hide_password(text: str) -> str:
    """Return a URL, or text with one in it, with its passwords hidden, even if it is malformed."""
    return QUERY.sub(r"\1***", LOGIN.sub(r"\1***", text))


def plural(count: int, noun: str) -> str:
    """Return "1 run", "2 runs"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text without control characters, which could act on a terminal or reorder a line; line ends stay."""
    return SURROGATES.sub("\N{REPLACEMENT CHARACTER}", CONTROLS.sub("", text))


def one_line(text: str) -> str:
    """Return a printable text on one line, without space around it."""
    return " ".join(part for part in map(str.strip, map(printable, BREAKS.split(text))) if part)


def shown(value: Any) -> str:
    """Return a value for an error line: text in single quotes, else as JSON; cut if long, but not a path."""
    if isinstance(value, Path):
        return repr(str(value))
    as_json = json.dumps(value, default=str, ensure_ascii=False).replace('"', "'")
    text = repr(value) if isinstance(value, str) else as_json  # JSON leaves some control characters as they are
    return text if len(text) <= 60 else text[:57] + "..."


def choices(allowed: Iterable[object], got: str = "") -> str:
    """Return the end of an error line: "; allowed: spt, lsa; did you mean 'lsa'?", empty if nothing is allowed."""
    names = [str(name) for name in allowed]
    return f"; allowed: {', '.join(names)}{guess(got, names)}" if names else ""


def guess(got: str, names: Iterable[str]) -> str:
    """Return "; did you mean 'lsa'?" for the closest name; empty if none is close."""
    close = difflib.get_close_matches(got, names, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def distinct(values: Iterable[T]) -> tuple[T, ...]:
    """Return the different values in the order of their first occurrence."""
    return tuple(dict.fromkeys(values))


def sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own: "Does it help?"."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def signed(value: float) -> str:
    """Return "+0.68" or "−0.68", with a minus as wide as a plus."""
    return f"{value:+.2f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Return "1:02:03", or "2:03" below an hour."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def megabytes(size: int, *, digits: int = 1) -> str:
    """Return "1,234.5 MB"; in bytes what would round to 0 MB."""
    return f"{size:,} B" if size < 0.5e6 / 10**digits else f"{size / 1e6:,.{digits}f} MB"


def mebibytes(size: float) -> str:
    """Return "1,235 MiB"."""
    return f"{size / 2**20:,.0f} MiB"
