"""Output without control characters: texts of records and archives cannot act on the terminal."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from slbench.text import printable


def print_json(document: Any) -> None:
    """Print the document of `--json`. JSON has no NaN and no infinity; they become null."""
    print(json.dumps(finite(document), indent=2, allow_nan=False), flush=True)


def finite(value: Any) -> Any:
    """Return a document with None in place of numbers that JSON lacks."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class PrintableStream:
    """A text stream that leaves out control characters.

    rich writes past it, to `rich_proxied_file`, since it colors and moves; `slbench.cli.terminal` filters its texts.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """Leave control characters out of what is printed to stdout and stderr."""
    out, err = (cast(TextIO, PrintableStream(stream)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield
