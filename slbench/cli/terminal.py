"""A console of rich whose texts contain no control characters."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from slbench.text import printable


class Terminal(Console):
    """A console that leaves control characters out of texts, and keeps its own colors and movements."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
