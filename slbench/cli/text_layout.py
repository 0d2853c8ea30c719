"""Text columns and panels as wide as the terminal, without rich, which is slow to import."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import typer

MIN_WIDTH = 24  # characters of the second column on any terminal
BOX, ASCII_BOX = tuple("╭─╮│╰╯"), tuple("+-+|++")


def terminal_width() -> int:
    """Return characters per line; 80 without a terminal."""
    return shutil.get_terminal_size().columns


def wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, MIN_WIDTH), break_on_hyphens=False) or [""]


def two_columns(rows: Sequence[tuple[str, str]], width: int) -> Iterator[tuple[str, str]]:
    """Yield each line as two cells: names padded to the longest, texts wrapped to the remaining width."""
    longest = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        for index, part in enumerate(wrapped(text, width - longest - 2)):
            yield f"{'' if index else name:<{longest}}", part


def help_page(usage: str, about: str, panels: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Return the help page of a group of commands.

    Args:
        panels: (name, text) pairs by title.
    """
    width = terminal_width()
    head = ["", *(f" {line}" for line in wrapped(f"Usage: {usage}", width - 2))]
    text = ["", *(f" {line}" for line in wrapped(about, width - 2)), ""]
    boxes = [line for title, rows in panels.items() for line in panel(title, rows, width)]
    return "\n".join([*head, *text, *boxes, ""]) + "\n"


def panel(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield the lines of a box around two columns. `typer.echo` strips colours if stdout is no terminal."""
    top_left, flat, top_right, side, low_left, low_right = BOX if writes_unicode() else ASCII_BOX
    cells = list(two_columns(rows, width - 4))
    inner = max([width - 4, *(len(name) + 2 + len(text) for name, text in cells)])
    yield coloured(f"{top_left}{flat} {title} {flat * (inner - len(title) - 1)}{top_right}", dim=True)
    edge = coloured(side, dim=True)
    for name, text in cells:
        yield f"{edge} {coloured(name, fg='cyan', bold=True)}  {text:<{inner - len(name) - 2}} {edge}"
    yield coloured(f"{low_left}{flat * (inner + 2)}{low_right}", dim=True)


def writes_unicode() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")


def coloured(text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
    return text if os.environ.get("NO_COLOR") else typer.style(text, fg=fg, bold=bold, dim=dim)
