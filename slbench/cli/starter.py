"""`slbench init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from slbench.study.starter import write_starter


def init(
    folder: Annotated[Path, typer.Argument(help="Folder; created if missing.", metavar="DIR")] = Path(),
) -> None:
    """Write a commented study file, and a results folder that git ignores.

    Existing files are not overwritten.
    """
    for path in write_starter(folder):
        print(f"written: {path}")
    there = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    print(f"next:    {there}slbench run-grid study.toml --plan")
