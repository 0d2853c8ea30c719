"""`slbench data`: the data sets on this machine, fetching and checking them."""

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

Name = Annotated[str, typer.Argument(help="A data set.", autocompletion=options.DATASET_NAMES)]
WORDS = {"ready": "ready", "fetched": "fetched, to be put in order at its first use", "missing": "not here"}


def list_sets(data_root_folder: options.DataRoot = None, as_json: options.Json = False) -> None:
    """List the data sets and which of them are on this machine."""
    options.use_data_root(data_root_folder)
    states = {name: state_words(name, entry) for name, entry in DATASETS.items()}
    states[imagenet.NAME] = "here" if file_exists(imagenet.source().path) else "not here: a folder of yours"
    if as_json:
        print(json.dumps({"root": str(data_root()), "sets": states}, indent=2))
        return
    console = Console(highlight=False, markup=False)
    for name, words in states.items():
        console.print(f"{name:<20}{words}", soft_wrap=True)
    console.print(f"data root: {data_root()}", soft_wrap=True)


def fetch_set(
    name: Name,
    from_file: Annotated[
        list[Path], typer.Option("--from", help="A local file in place of a download; repeatable.", metavar="FILE")
    ] = [],  # noqa: B006  (typer reads it once)
    data_root_folder: options.DataRoot = None,
) -> None:
    """Bring a data set to this machine, check it and put it in order. What is here already is not fetched again."""
    options.use_data_root(data_root_folder)
    entry = published(name)
    console = Console(stderr=True, highlight=False, markup=False)
    for file in from_file:
        archive = add_local_file(name, entry.archives, file)
        console.print(f"{file} is {archive.name}", soft_wrap=True)
    left = missing(name, entry.archives)
    if from_file and left:
        console.print(f"still to come: {', '.join(archive.name for archive in left)}", soft_wrap=True)
        raise typer.Exit(1)
    if state_of(name, entry.archives) != "ready":
        with download_bars(console) as on_progress:
            fetch(name, entry.archives, on_progress=on_progress)
        console.print("putting it in order", soft_wrap=True)
        prepare(entry.spec, entry.archives, entry.loader)
    print(f"{name}: ready in {data_root() / name}")


def verify_set(name: Name, data_root_folder: options.DataRoot = None) -> None:
    """Check a data set on this machine against its published checksums and counts, from its archives on.

    Data of your own, which nobody has published, are read again and held to the hash under which runs know them.
    """
    options.use_data_root(data_root_folder)
    entry = DATASETS.get(name)
    if entry is not None and entry.archives:
        verify(entry.spec, entry.archives, entry.loader)
    else:
        found = find(name)
        load(found.spec, found.source)
        if as_source(name) is not None:
            print(f"{name}: whole, {short(found.spec.content)}")
            return
    print(f"{name}: as published")


def info(name: Name, data_root_folder: options.DataRoot = None) -> None:
    """Say as JSON what is known of a data set, or of npz:PATH or folder:PATH."""
    options.use_data_root(data_root_folder)
    found = find(name)
    document = {"label": found.label, **asdict(found.spec)}
    if name in DATASETS:
        entry = DATASETS[name]
        document |= {"about": entry.source, "here": state_words(name, entry)}
        document["archives"] = [asdict(archive) for archive in entry.archives]
    print(json.dumps(document, indent=2))


def published(name: str) -> DatasetEntry:
    """A set that can be fetched."""
    if name == imagenet.NAME:
        raise InputError(f"data set '{name}' may not be handed on, so it cannot be fetched: {imagenet.ABOUT}")
    entry = lookup(DATASETS, name, "data set")
    if not entry.archives:
        raise InputError(f"data set '{name}' ships with slbench: there is nothing to fetch")
    return entry


def state_words(name: str, entry: DatasetEntry) -> str:
    return WORDS[state_of(name, entry.archives)] if entry.archives else "ships with slbench"


@contextmanager
def download_bars(console: Console) -> Iterator[OnProgress]:
    """A bar for each file that is being fetched."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    bars, tasks = Progress(*columns, console=console), dict[str, TaskID]()

    def show(file: str, done: int, total: int | None) -> None:
        bars.start()  # not before: where nothing comes, nothing but the error is printed
        if file not in tasks:
            tasks[file] = bars.add_task(file)
        bars.update(tasks[file], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:
            bars.stop()
