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
from slbench.data import DATASETS, DatasetEntry, find, imagenet, load
from slbench.data.fetch import OnProgress, add_local_file, fetch, missing
from slbench.data.own_dataset import as_source
from slbench.data.paths import data_root, file_exists
from slbench.data.published_cache import prepare, state_of, verify
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


def list_sets(data_root_folder: options.DataRoot = None, as_json: options.Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    options.use_data_root(data_root_folder)
    states = {name: state_text(name, entry) for name, entry in DATASETS.items()}
    states[imagenet.NAME] = "here" if file_exists(imagenet.source().path) else "not here: needs a folder of yours"
    if as_json:
        print(json.dumps({"root": str(data_root()), "sets": states}, indent=2))
        return
    console = Console(highlight=False, markup=False)
    for name, state in states.items():
        console.print(f"{name:<20}{state}", soft_wrap=True)
    console.print(f"data root: {data_root()}", soft_wrap=True)


def fetch_set(
    name: Name,
    from_file: Annotated[
        list[Path], typer.Option("--from", help="Use a local file instead of a download; repeatable.", metavar="FILE")
    ] = [],  # noqa: B006  (typer reads it once)
    data_root_folder: options.DataRoot = None,
) -> None:
    """Download a data set, verify it and prepare it.

    Archives that are present are not downloaded again.
    """
    options.use_data_root(data_root_folder)
    entry = published(name)
    console = Console(stderr=True, highlight=False, markup=False)
    for file in from_file:
        archive = add_local_file(name, entry.archives, file)
        console.print(f"{file} is {archive.name}", soft_wrap=True)
    left = missing(name, entry.archives)
    if from_file and left:
        console.print(f"still missing: {', '.join(archive.name for archive in left)}", soft_wrap=True)
        raise typer.Exit(1)
    if state_of(name, entry.archives) != "ready":
        with download_bars(console) as on_progress:
            fetch(name, entry.archives, on_progress=on_progress)
        console.print("preparing", soft_wrap=True)
        prepare(entry.spec, entry.archives, entry.loader)
    print(f"{name}: ready in {data_root() / name}")


def verify_set(name: Name, data_root_folder: options.DataRoot = None) -> None:
    """Check a data set against its published checksums and counts.

    Your own data are read again and compared with the hash that runs refer to.
    """
    options.use_data_root(data_root_folder)
    entry = DATASETS.get(name)
    if entry is not None and entry.archives:
        verify(entry.spec, entry.archives, entry.loader)
    else:
        dataset = find(name)
        load(dataset.spec, dataset.source)
        if as_source(name) is not None:
            print(f"{name}: verified, {short(dataset.spec.content)}")
            return
    print(f"{name}: verified")


def info(name: Name, data_root_folder: options.DataRoot = None) -> None:
    """Print what is known of a data set as JSON."""
    options.use_data_root(data_root_folder)
    dataset = find(name)
    document = {"label": dataset.label, **asdict(dataset.spec)}
    if name in DATASETS:
        entry = DATASETS[name]
        document |= {"about": entry.source, "here": state_text(name, entry)}
        document["archives"] = [asdict(archive) for archive in entry.archives]
    print(json.dumps(document, indent=2))


def published(name: str) -> DatasetEntry:
    """Return the entry of a data set that can be downloaded."""
    if name == imagenet.NAME:
        raise InputError(f"data set '{name}' cannot be downloaded, as it may not be redistributed: {imagenet.ABOUT}")
    entry = lookup(DATASETS, name, "data set")
    if not entry.archives:
        raise InputError(f"data set '{name}' ships with slbench: nothing to download")
    return entry


def state_text(name: str, entry: DatasetEntry) -> str:
    return STATE_TEXTS[state_of(name, entry.archives)] if entry.archives else "ships with slbench"


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
