"""`slbench init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.study.starter import write_starter


def init(
    folder: Annotated[Path, typer.Argument(help="Folder; created if missing.", metavar="DIR")] = Path(),
    as_json: options.Json = False,
) -> None:
    """Write a commented study file, and a results folder that git ignores.

    Existing files are not overwritten.
    """
    written = write_starter(folder)
    there = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    command = f"{there}slbench run-grid study.toml --plan"
    if as_json:
        print_json({"written": [str(path) for path in written], "next": command})
        return
    for path in written:
        print(f"written: {path}")
    print(f"next:    {command}")
