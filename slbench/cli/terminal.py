"""A console of rich whose texts contain no control characters, and columns of its progress bars."""

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console
from rich.progress import Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from slbench.text import printable

WIDE = 130  # letters of a terminal that has room for long bars
TIME = 7  # letters of "0:00:00"


class Terminal(Console):
    """A console that leaves control characters out of texts, and keeps its own colors and movements."""

    @property
    def file(self) -> IO[str]:
        """The terminal itself, below the streams that stand in for it: of `printable_output` and of a live display."""
        stream = super().file
        while hasattr(stream, "rich_proxied_file"):
            stream = stream.rich_proxied_file
        return stream

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def bar_width(console: Console) -> int:
    """Return the letters of a progress bar."""
    return 24 if console.width >= WIDE else 8


class CutColumn(TextColumn):
    """Text that is cut where the line has no room, before times and names are."""

    def __init__(self, text_format: str) -> None:
        super().__init__(text_format, table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def elapsed_column() -> TimeElapsedColumn:
    """Return a column of elapsed time that is never cut."""
    return TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=TIME))


def remaining_column() -> TimeRemainingColumn:
    """Return a column of the remaining time that is never cut."""
    return TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=TIME))
