"""Flags that several commands share, and what they stand for."""

import importlib
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slbench.errors import InputError

if TYPE_CHECKING:
    from slbench.study import Study

GRID, TRAINING, WHERE, FAILURES = "Grid", "Training", "Where", "Failures"
RESULTS = Path("results")


def names_in(module: str, table: str) -> Callable[[], list[str]]:
    """Return a completion: the names in a table of a module, which is imported when they are asked for."""
    return lambda: list(getattr(importlib.import_module(module), table))


BACKBONE_NAMES = names_in("slbench.backbones", "NAMED")
METHOD_NAMES = names_in("slbench.methods", "METHODS")
DATASET_NAMES = names_in("slbench.data", "DATASETS")
RECIPE_NAMES = names_in("slbench.recipes", "RECIPES")

StudyPath = Annotated[Path | None, typer.Argument(help="A study file, such as studies/quick.toml.", show_default=False)]
Backbones = Annotated[
    list[str],
    typer.Option(
        "--backbone",
        help="Backbones, with commas or repeated.",
        autocompletion=BACKBONE_NAMES,
        rich_help_panel=GRID,
    ),
]
Methods = Annotated[
    list[str],
    typer.Option("--method", help="Rows: none, spt, lsa, both, ...", autocompletion=METHOD_NAMES, rich_help_panel=GRID),
]
Datasets = Annotated[
    list[str],
    typer.Option(
        "--dataset",
        help="Data sets, or npz:PATH, folder:PATH of your own.",
        autocompletion=DATASET_NAMES,
        rich_help_panel=GRID,
    ),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", help="Seeds 0..N-1.", min=1, max=10_000, metavar="N", rich_help_panel=GRID)
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="How to train.", autocompletion=RECIPE_NAMES, rich_help_panel=TRAINING),
]
ProtocolName = Annotated[
    str | None, typer.Option("--protocol", help="holdout, full or paper.", rich_help_panel=TRAINING)
]
Changes = Annotated[
    list[str],
    typer.Option(
        "--set", help="Any field of a run: --set recipe.epochs=3.", metavar="PATH=VALUE", rich_help_panel=TRAINING
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="--set recipe.epochs", rich_help_panel=TRAINING)]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="--set recipe.batch_size", rich_help_panel=TRAINING)
]
Lr = Annotated[float | None, typer.Option("--lr", help="--set recipe.lr", rich_help_panel=TRAINING)]
WeightDecay = Annotated[
    float | None, typer.Option("--weight-decay", help="--set recipe.weight_decay", rich_help_panel=TRAINING)
]
WarmupEpochs = Annotated[
    float | None, typer.Option("--warmup-epochs", help="--set recipe.warmup_epochs", rich_help_panel=TRAINING)
]
DropPath = Annotated[float | None, typer.Option("--drop-path", help="--set recipe.drop_path", rich_help_panel=TRAINING)]
StoreFolder = Annotated[
    Path, typer.Option("--store", help="Where results are kept.", metavar="DIR", rich_help_panel=WHERE)
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        "--data-dir",
        help="Where fetched data are kept. [default: SLBENCH_DATA, else the platform's cache folder]",
        metavar="DIR",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Leave the images on the disk and read them batch by batch, also if they fit into memory.",
        rich_help_panel=WHERE,
    ),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard",
        help="Also log each epoch for TensorBoard, a folder a run, of the runs that are made from now on.",
        metavar="DIR",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads of each job.", min=1, rich_help_panel=WHERE)]
Devices = Annotated[str, typer.Option("--devices", help="auto, cpu, mps, or cuda:0,cuda:1.", rich_help_panel=WHERE)]
JobsPerDevice = Annotated[
    str | None,
    typer.Option(
        "--jobs-per-device",
        help="A number, or auto: by a probe. [default: one on a GPU, cores / threads on a CPU]",
        metavar="N|auto",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries", help="Of a job that fails; it goes on from its checkpoint.", min=0, rich_help_panel=FAILURES
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", help="Of a job: 90, 90s, 30m, 2h.", metavar="TIME", show_default=False, rich_help_panel=FAILURES
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="End the grid when a job fails.", rich_help_panel=FAILURES)]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        help="Start nothing more when so many died the same way.",
        min=1,
        metavar="N",
        rich_help_panel=FAILURES,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def use_data_root(folder: Path | None) -> None:
    """Make a folder the data root of this process and of the children it starts."""
    from slbench.data.paths import ROOT_VARIABLE

    if folder is not None:
        os.environ[ROOT_VARIABLE] = str(folder.expanduser().absolute())


def seconds_of(time: str | None) -> float | None:
    """Seconds of "90", "90s", "1.5m" or "2h".

    Raises:
        InputError: for anything else.
    """
    if time is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", time.strip())
    if match is None or float(match[1]) == 0:
        raise InputError(f"--timeout {time}: must be a time above 0 in seconds, or with a unit: 90, 90s, 30m, 2h, 1d")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def use_stream(wanted: bool) -> None:
    """Have this process and the children it starts leave images on the disk."""
    from slbench.data.paths import STREAM_VARIABLE

    if wanted:
        os.environ[STREAM_VARIABLE] = "1"


def jobs_of(words: str | None) -> int | None:
    """The number of jobs a device that was given; None for the default and for "auto".

    Raises:
        InputError: for anything else.
    """
    if words is None or words == "auto":
        return None
    if not words.isdecimal() or int(words) == 0:
        raise InputError(f"--jobs-per-device {words}: must be a number from 1, or auto")
    return int(words)


def board_in(folder: Path | None) -> Path | None:
    """The folder of TensorBoard's, absolute. Raises InputError if nothing could be logged there."""
    if folder is None:
        return None
    from slbench.train.tensorboard import check_board

    folder = folder.expanduser()
    check_board(folder)
    return folder.absolute()


def split(values: Sequence[str]) -> list[str]:
    """Repeated flags and commas, both: ["a,b", "c"] is a, b, c."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """PATH=VALUE pairs; a value is TOML, or else text."""
    settings = {}
    for change in changes:
        path, equals, words = change.partition("=")
        if not equals or not path.strip():
            raise InputError(f"--set {change}: must be PATH=VALUE, such as recipe.epochs=3")
        try:
            value = tomllib.loads(f"value = {words}")["value"]
        except tomllib.TOMLDecodeError:
            value = words.strip()
        settings[path.strip()] = value
    return settings


def study_of(
    path: Path | None,
    *,
    backbone: Sequence[str],
    method: Sequence[str],
    dataset: Sequence[str],
    seeds: Sequence[int] | None,
    recipe: str | None,
    protocol: str | None,
    changes: Sequence[str],
    **recipe_fields: float | None,
) -> "Study":
    """The study of a file changed by flags, or of flags alone.

    Args:
        recipe_fields: those that have flags of their own; None for a flag that was not given.
    Raises:
        InputError: if nothing says what to run, or for anything wrong in what does.
    """
    from slbench.study import Flags, load_study, make_study

    axes = {"backbone": split(backbone), "method": split(method), "dataset": split(dataset)}
    grid: dict[str, list[Any]] = {name: values for name, values in axes.items() if values}
    if path is None and not grid:
        raise InputError("nothing to run: name a study file, or --backbone, --method or --dataset")
    if seeds is not None:
        grid["seed"] = list(seeds)
    given = {f"recipe.{field}": value for field, value in recipe_fields.items() if value is not None}
    flags = Flags(grid=grid, set={**given, **parsed(changes)}, recipe=recipe, protocol=protocol)
    if path is None:
        return make_study({}, name="ad-hoc", where="command line", flags=flags)
    return load_study(path, flags)
