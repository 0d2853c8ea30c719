"""`slbench data`: list, download and verify data sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.cli.terminal import Terminal
from slbench.data import DATASETS, DataConfig, DatasetEntry, ResolvedDataset, class_names, find, imagenet, verify
from slbench.data.config import file_exists
from slbench.data.sets.fetch import OnProgress, add_local_file, fetch, missing
from slbench.data.sets.local import folder_of, prepare, state_of
from slbench.data.specs import of_each, short
from slbench.errors import InputError
from slbench.names import lookup
from slbench.text import plural

Name = Annotated[
    str,
    typer.Argument(
        help="Data set: a name of slbench data list, or npz:PATH, folder:PATH.", autocompletion=options.DATASET_NAMES
    ),
]
MAX_CLASS_LINES = 100  # of a table; the rest is in the JSON document
STATE_TEXTS = {"ready": "ready", "fetched": "downloaded, prepared on first use", "missing": "not here"}


def list_sets(data_root: options.DataRoot = None, as_json: options.Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    config = DataConfig.read(data_root)
    states = {name: state_text(entry, config) for name, entry in DATASETS.items()}
    states[imagenet.NAME] = "here" if file_exists(imagenet.source(config).path) else "not here: needs a folder of yours"
    if as_json:
        print_json({"root": str(config.root), "sets": states})
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
    as_json: options.Json = False,
) -> None:
    """Download a data set, verify it and prepare it.

    Archives that are present are not downloaded again.
    """
    config = DataConfig.read(data_root)
    entry, folder = published(name), folder_of(name, config)
    console = Terminal(stderr=True, highlight=False, markup=False)
    if entry.subset_of:
        fetch_subset(name, from_file, config, console)
        say_fetched(name, folder, as_json=as_json)
        return
    for file in from_file:
        archive = add_local_file(folder, entry.archives, file)
        console.print(f"{file} is {archive.name}", soft_wrap=True)
    left = missing(folder, entry.archives)
    if from_file and left:
        console.print(f"still missing: {', '.join(archive.name for archive in left)}", soft_wrap=True)
        if as_json:
            print_json(fetch_document(name, folder, [archive.name for archive in left]))
        raise typer.Exit(1)
    fetch_archives(entry, folder, config, console)
    say_fetched(name, folder, as_json=as_json)


def fetch_archives(entry: DatasetEntry, folder: Path, config: DataConfig, console: Console) -> None:
    """Download the archives of a data set that are missing, and prepare it."""
    if state_of(entry, config) != "ready":
        with download_bars(console) as on_progress:
            fetch(folder, entry.archives, on_progress=on_progress)
        if not entry.sizes_differ:  # otherwise prepared by the first run, at its size
            console.print("preparing", soft_wrap=True)
            prepare(entry, entry.spec, config)


def say_fetched(name: str, folder: Path, *, as_json: bool) -> None:
    """Print that a data set is ready."""
    if as_json:
        print_json(fetch_document(name, folder, []))
    else:
        print(f"{name}: ready in {folder}")


def fetch_document(name: str, folder: Path, missing_files: list[str]) -> dict[str, Any]:
    """Return the `--json` document of a download."""
    return {"name": name, "folder": str(folder), "ready": not missing_files, "missing": missing_files}


def fetch_subset(name: str, from_file: list[Path], config: DataConfig, console: Console) -> None:
    """Prepare a subset from the set it is taken from, which is downloaded if it is missing, or from an npz file."""
    from slbench.data.sets.image_list import read_copy

    entry = DATASETS[name]
    if len(from_file) > 1:
        raise InputError(f"--from: data set '{name}' is one npz file (got {len(from_file)} files)")
    if from_file:
        prepare(entry, entry.spec, config, lambda: read_copy(name, from_file[0]))
    elif state_of(entry, config) != "ready":
        if state_of(entry, config) == "missing":
            whole = folder_of(entry.subset_of, config)
            fetch_archives(DATASETS[entry.subset_of], whole, config, console)
            console.print(f"{entry.subset_of}: ready in {whole}", soft_wrap=True)
        prepare(entry, entry.spec, config)


def verify_set(name: Name, data_root: options.DataRoot = None, as_json: options.Json = False) -> None:
    """Check a data set against its published checksums and counts.

    Your own data are read again and compared with the hash that runs refer to.
    """
    config = DataConfig.read(data_root)
    dataset = find(name, config=config)
    verify(dataset.spec, dataset.source, config)
    if as_json:
        print_json({"name": name, "label": dataset.label, "content": dataset.spec.content, "verified": True})
        return
    content = f", {short(dataset.spec.content)}" if dataset.source and name != imagenet.NAME else ""
    print(f"{name}: verified{content}")


def info(name: Name, data_root: options.DataRoot = None, as_json: options.Json = False) -> None:
    """Print what is known of a data set, with its images per class."""
    config = DataConfig.read(data_root)
    dataset = find(name, config=config)
    document = {"label": dataset.label, **asdict(dataset.spec)}
    if name in DATASETS:
        entry = DATASETS[name]
        document |= {"about": entry.source, "here": state_text(entry, config)}
        document["archives"] = [asdict(archive) for archive in entry.archives]
    if as_json:
        print_json(document)
        return
    print("\n".join(info_lines(name, dataset, class_names(dataset.spec, dataset.source, config))))
    if name in DATASETS:
        print(f"\n{DATASETS[name].source}; {state_text(DATASETS[name], config)}")


def info_lines(name: str, dataset: ResolvedDataset, names: tuple[str, ...] | None) -> Iterator[str]:
    """Yield a data set as lines of text: sizes, then a line per class.

    Args:
        names: of its classes by label; None: unknown.
    """
    spec = dataset.spec
    height, width = spec.image_size
    yield f"{name}: {dataset.label}, {short(spec.content)}"
    yield f"images      {height} x {width} px, {plural(spec.in_channels, 'channel')}"
    yield f"training    {spec.num_train:,}, of which {spec.num_validation:,} validate under protocol holdout"
    yield f"test        {spec.num_test:,}"
    yield f"classes     {spec.num_classes:,}"
    yield f"mean, std   {', '.join(f'{each:.4f}' for each in (*spec.mean, *spec.std))}, of pixels from 0 to 1"
    training, validation = (of_each(counts, spec.num_classes) for counts in (spec.train_counts, spec.validation_counts))
    shown_names = names or tuple(f"class {number}" for number in range(spec.num_classes))
    width_of_names = max(len("class"), *map(len, shown_names[:MAX_CLASS_LINES]))
    yield f"\n{'class':<{width_of_names}}  {'training':>8}  {'of these, validation':>20}"
    for class_name, count, validating in list(zip(shown_names, training, validation, strict=True))[:MAX_CLASS_LINES]:
        yield f"{class_name:<{width_of_names}}  {count:>8,}  {validating:>20,}"
    if spec.num_classes > MAX_CLASS_LINES:
        yield f"... {spec.num_classes - MAX_CLASS_LINES:,} more: --json"


def list_images(
    name: Name,
    output: Annotated[Path, typer.Argument(help="File to write, JSON.", metavar="OUT")],
    of: Annotated[str, typer.Option("--of", help="Published data set that the images are from.", metavar="NAME")],
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
) -> None:
    """List the images of a data set by hash, for others to find in a published set.

    The list holds no image. slbench data subset reads it.
    """
    from slbench.data import class_names, open_dataset
    from slbench.data.sets.image_list import list_images

    config = DataConfig.read(data_root)
    dataset = find(name, config=config)
    prepared = open_dataset(dataset.spec, dataset.source, config)
    listed = list_images(prepared, class_names(dataset.spec, dataset.source, config), of=of)
    listed.write(output)
    train, test = len(prepared.labels["train"]), len(prepared.labels["test"])
    if as_json:
        print_json({"file": str(output), "of": of, "train": train, "test": test})
        return
    print(f"{output}: {train:,} training and {test:,} test images of {of}")


def subset(
    images: Annotated[Path, typer.Argument(help="List written by slbench data list-images.", metavar="LIST")],
    output: Annotated[Path, typer.Argument(help="File to write, npz; it must not exist.", metavar="OUT")],
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
) -> None:
    """Take the images of a list from a published data set.

    Studies name the file as npz:OUT.
    """
    from slbench.data.sets.image_list import write_subset

    train, test = write_subset(images, output, DataConfig.read(data_root))
    if as_json:
        print_json({"file": str(output), "train": train, "test": test})
        return
    print(f"{output}: {train:,} training and {test:,} test images")


def published(name: str) -> DatasetEntry:
    """Return the entry of a data set that can be downloaded."""
    if name == imagenet.NAME:
        raise InputError(f"data set '{name}': cannot be downloaded, as it may not be redistributed; {imagenet.ABOUT}")
    entry = lookup(DATASETS, name, "data set", where="data")
    if entry.is_bundled:
        raise InputError(f"data set '{name}': ships with slbench; nothing to download")
    return entry


def state_text(entry: DatasetEntry, config: DataConfig) -> str:
    return "ships with slbench" if entry.is_bundled else STATE_TEXTS[state_of(entry, config)]


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
