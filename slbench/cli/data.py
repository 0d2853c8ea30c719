"""`slbench data`: list, download and verify data sets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from slbench.cli import options
from slbench.cli.terminal import Terminal
from slbench.data import DATASETS, DataConfig, DatasetEntry, find, imagenet, verify
from slbench.data.config import file_exists
from slbench.data.sets.fetch import OnProgress, add_local_file, fetch, missing
from slbench.data.sets.local import folder_of, prepare, state_of
from slbench.data.specs import short
from slbench.errors import InputError
from slbench.names import lookup

Name = Annotated[
    str,
    typer.Argument(
        help="Data set: a name of slbench data list, or npz:PATH, folder:PATH.", autocompletion=options.DATASET_NAMES
    ),
]
STATE_TEXTS = {"ready": "ready", "fetched": "downloaded, prepared on first use", "missing": "not here"}


def list_sets(data_root: options.DataRoot = None, as_json: options.Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    config = DataConfig.read(data_root)
    states = {name: state_text(entry, config) for name, entry in DATASETS.items()}
    states[imagenet.NAME] = "here" if file_exists(imagenet.source(config).path) else "not here: needs a folder of yours"
    if as_json:
        print(json.dumps({"root": str(config.root), "sets": states}, indent=2))
        return
    console = Terminal(highlight=False, markup=False)
    for name, state in states.items():
        console.print(f"{name:<20}{state}", soft_wrap=True)
    console.print(f"data root: {config.root}", soft_wrap=True)


def fetch_set(
    name: Name,
    from_file: Annotated[
        list[Path], typer.Option("--from", help="Use a local file instead of a download; repeatable.", metavar="FILE")
    ] = [],  # noqa: B006  (typer reads it once)
    data_root: options.DataRoot = None,
) -> None:
    """Download a data set, verify it and prepare it.

    Archives that are present are not downloaded again.
    """
    config = DataConfig.read(data_root)
    entry, folder = published(name), folder_of(name, config)
    console = Terminal(stderr=True, highlight=False, markup=False)
    for file in from_file:
        archive = add_local_file(folder, entry.archives, file)
        console.print(f"{file} is {archive.name}", soft_wrap=True)
    left = missing(folder, entry.archives)
    if from_file and left:
        console.print(f"still missing: {', '.join(archive.name for archive in left)}", soft_wrap=True)
        raise typer.Exit(1)
    if state_of(entry, config) != "ready":
        with download_bars(console) as on_progress:
            fetch(folder, entry.archives, on_progress=on_progress)
        if not entry.sizes_differ:  # otherwise prepared by the first run, at its size
            console.print("preparing", soft_wrap=True)
            prepare(entry, entry.spec, config)
    print(f"{name}: ready in {folder}")


def verify_set(name: Name, data_root: options.DataRoot = None) -> None:
    """Check a data set against its published checksums and counts.

    Your own data are read again and compared with the hash that runs refer to.
    """
    config = DataConfig.read(data_root)
    dataset = find(name, config=config)
    verify(dataset.spec, dataset.source, config)
    content = f", {short(dataset.spec.content)}" if dataset.source and name != imagenet.NAME else ""
    print(f"{name}: verified{content}")


def info(name: Name, data_root: options.DataRoot = None) -> None:
    """Print what is known of a data set as JSON."""
    config = DataConfig.read(data_root)
    dataset = find(name, config=config)
    document = {"label": dataset.label, **asdict(dataset.spec)}
    if name in DATASETS:
        entry = DATASETS[name]
        document |= {"about": entry.source, "here": state_text(entry, config)}
        document["archives"] = [asdict(archive) for archive in entry.archives]
    print(json.dumps(document, indent=2))


def published(name: str) -> DatasetEntry:
    """Return the entry of a data set that can be downloaded."""
    if name == imagenet.NAME:
        raise InputError(f"data set '{name}': cannot be downloaded, as it may not be redistributed; {imagenet.ABOUT}")
    entry = lookup(DATASETS, name, "data set", where="data")
    if not entry.archives:
        raise InputError(f"data set '{name}': ships with slbench; nothing to download")
    return entry


def state_text(entry: DatasetEntry, config: DataConfig) -> str:
    return STATE_TEXTS[state_of(entry, config)] if entry.archives else "ships with slbench"


@contextmanager
def download_bars(console: Console) -> Iterator[OnProgress]:
    """Show a bar for each download."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    bars, tasks = Progress(*columns, console=console), dict[str, TaskID]()

    def show(file: str, done: int, total: int | None) -> None:
        bars.start()  # only now, so that a failed download prints nothing but its error
        if file not in tasks:
            tasks[file] = bars.add_task(file)
        bars.update(tasks[file], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:
            bars.stop()
