"""`slbench analyze temperature` and `slbench analyze receptive-field`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from slbench.cli import options
from slbench.cli.grid import say
from slbench.store import Store
from slbench.study import load_study

if TYPE_CHECKING:
    from slbench.analysis.runs import Chosen
    from slbench.analysis.written import Written

Runs = Annotated[list[str], typer.Argument(metavar="[RUN]...", help="Runs, by the beginnings of their ids.")]
StudyFile = Annotated[
    Path | None, typer.Option("--study", help="Every finished run of a study file.", metavar="FILE", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="[default: STORE/analysis/NAME]", metavar="DIR", show_default=False)
]


def temperature(
    runs: Runs = [],  # noqa: B006
    study: StudyFile = None,
    store: options.StoreFolder = options.RESULTS,
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """Show what learned temperatures have become, by layer and head, and how: Fig. 3 of the paper."""
    chosen = chosen_runs(store, runs, study)
    folder = folder_for(chosen.name or "temperature", store, out)
    from slbench.analysis.temperature import analyse

    tell(analyse(chosen, folder), as_json=as_json)


def chosen_runs(store: Path, names: list[str], study: Path | None) -> "Chosen":
    """The finished runs that were named."""
    from slbench.analysis.runs import choose

    results = Store(store)
    results.check(writing=False)
    return choose(results, options.split(names), None if study is None else load_study(study))


def folder_for(name: str, store: Path, out: Path | None) -> Path:
    """Where the files go, which can be written."""
    folder = out or store / "analysis" / name
    Store(folder).check(writing=True)
    return folder


def tell(written: "Written", *, as_json: bool) -> None:
    """Print the page, or everything as one JSON document, and where the files are."""
    if as_json:
        document = {
            "folder": str(written.folder),
            "files": list(written.files),
            "caption": list(written.caption),
            "rows": json.loads(written.frame.to_json(orient="records", double_precision=15)),
        }
        print(json.dumps(document, indent=2))
        return
    lines = [line for line in written.text.splitlines() if not line.startswith("![")]
    print("\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n")
    say(Console(), f"written to {written.folder}: {', '.join(written.files)}")
