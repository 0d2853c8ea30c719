"""Flags shared by several commands, and their parsing."""

import importlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from slbench import user_files
from slbench.errors import InputError
from slbench.names import lookup
from slbench.plotting.style import FIGURE_STYLES, FigureStyle
from slbench.text import shown
from slbench.toml_text import InvalidTomlError, check_key, parse_toml

if TYPE_CHECKING:
    from slbench.data import DataConfig
    from slbench.study import Study
    from slbench.train.tracking import Tracking

GRID, TRAINING, WHERE, FAILURES = "Grid", "Training", "Storage and devices", "Failures"
RESULTS = Path("results")


def names_in(module: str, table: str) -> Callable[[], list[str]]:
    """Return a completion function over a table of names; its module is imported on completion."""
    return lambda: list(getattr(importlib.import_module(module), table))


def named_files(files: list[str]) -> list[str]:
    """Name the files of `--plugin`, so that runs of their content may use them."""
    for file in files:
        user_files.add(Path(file))
    return files


BACKBONE_NAMES = names_in("slbench.backbones", "NAMED")
METHOD_NAMES = names_in("slbench.methods", "METHODS")
DATASET_NAMES = names_in("slbench.data", "DATASETS")
RECIPE_NAMES = names_in("slbench.recipes", "RECIPES")

StudyPath = Annotated[
    Path | None,
    typer.Argument(help="Study file, or the name of a shipped study: quick.", show_default=False),
]
Backbones = Annotated[
    list[str],
    typer.Option(
        "--backbone",
        help="Backbones: comma-separated or repeated.",
        autocompletion=BACKBONE_NAMES,
        rich_help_panel=GRID,
    ),
]
Methods = Annotated[
    list[str],
    typer.Option(
        "--method", help="Methods: none, spt, lsa, both, ...", autocompletion=METHOD_NAMES, rich_help_panel=GRID
    ),
]
Datasets = Annotated[
    list[str],
    typer.Option(
        "--dataset",
        help="Data sets, or your own: npz:PATH, folder:PATH.",
        autocompletion=DATASET_NAMES,
        rich_help_panel=GRID,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", help="Use seeds 0 to N-1.", min=1, max=10_000, metavar="N", rich_help_panel=GRID),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Training recipe: quick, paper, released or modern.",
        autocompletion=RECIPE_NAMES,
        rich_help_panel=TRAINING,
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", help="Evaluation protocol: holdout, full or paper.", rich_help_panel=TRAINING),
]
Changes = Annotated[
    list[str],
    typer.Option(
        "--set", help="Set any field of a run: --set recipe.epochs=3.", metavar="PATH=VALUE", rich_help_panel=TRAINING
    ),
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", help="Short for --set recipe.epochs=N.", rich_help_panel=TRAINING)
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Short for --set recipe.batch_size=N.", rich_help_panel=TRAINING)
]
Lr = Annotated[float | None, typer.Option("--lr", help="Short for --set recipe.lr=X.", rich_help_panel=TRAINING)]
WeightDecay = Annotated[
    float | None,
    typer.Option("--weight-decay", help="Short for --set recipe.weight_decay=X.", rich_help_panel=TRAINING),
]
WarmupEpochs = Annotated[
    float | None,
    typer.Option("--warmup-epochs", help="Short for --set recipe.warmup_epochs=X.", rich_help_panel=TRAINING),
]
DropPath = Annotated[
    float | None, typer.Option("--drop-path", help="Short for --set recipe.drop_path=X.", rich_help_panel=TRAINING)
]
StoreFolder = Annotated[Path, typer.Option("--store", help="Results folder.", metavar="DIR", rich_help_panel=WHERE)]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        "--data-dir",
        help="Data folder. [default: $SLBENCH_DATA, else the platform's cache folder]",
        metavar="DIR",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read images from disk batch by batch even if they fit in memory.",
        rich_help_panel=WHERE,
    ),
]
Plugins = Annotated[
    list[str],
    typer.Option(
        "--plugin",
        help="Python file or package of yours that runs use: models, methods, data sets, augmentations; repeatable.",
        callback=named_files,
        metavar="FILE",
        rich_help_panel=WHERE,
    ),
]
LogTo = Annotated[
    str | None,
    typer.Option(
        "--log-to",
        help="Log new runs by epoch to tensorboard, wandb or csv; KIND:DIR for another folder than STORE/KIND.",
        metavar="KIND[:DIR]",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard",
        help="Short for --log-to tensorboard:DIR.",
        metavar="DIR",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads per job.", min=1, rich_help_panel=WHERE)]
Devices = Annotated[
    str, typer.Option("--devices", help="Devices: auto, cpu, mps, or cuda:0,cuda:1.", rich_help_panel=WHERE)
]
JobsPerDevice = Annotated[
    str | None,
    typer.Option(
        "--jobs-per-device",
        help="Concurrent jobs per device; auto: measured by a probe. [default: 1 per GPU, cores / threads per CPU]",
        metavar="N|auto",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries", help="Retries of a failed job; it resumes from its checkpoint.", min=0, rich_help_panel=FAILURES
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        help="Time limit per job: 90, 90s, 30m, 2h, 1d.",
        metavar="TIME",
        show_default=False,
        rich_help_panel=FAILURES,
    ),
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="Stop the grid at the first failed job.", rich_help_panel=FAILURES)
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        help="Stop starting jobs after N failures with the same cause.",
        min=1,
        metavar="N",
        rich_help_panel=FAILURES,
    ),
]
RetryDiverged = Annotated[
    bool, typer.Option("--retry-diverged", help="Train runs again that diverged.", rich_help_panel=FAILURES)
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Train the selected runs again, also those that have ended; their old folders move to STORE/replaced.",
        rich_help_panel=FAILURES,
    ),
]
OnMismatch = Annotated[
    Literal["wait", "restart"],
    typer.Option(
        "--on-mismatch",
        help="A checkpoint of another processor, GPU model, torch or slbench: wait leaves the run to a worker where it "
        "continues bit by bit; restart begins it again.",
        rich_help_panel=FAILURES,
    ),
]
AllowMixed = Annotated[
    bool,
    typer.Option(
        "--allow-mixed",
        help="Join a study that began in the store with other code; it is recorded.",
        rich_help_panel=FAILURES,
    ),
]
FigureLook = Annotated[
    str, typer.Option("--figure-style", help=f"Sizes of the figures: {', '.join(FIGURE_STYLES)}.", metavar="STYLE")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]


def figure_style(name: str) -> FigureStyle:
    """Return the style named by --figure-style. Raises InputError for an unknown one."""
    return lookup(FIGURE_STYLES, name, "figure style", where="--figure-style")


def seconds_of(time: str | None, *, flag: str = "--timeout") -> float | None:
    """Return the seconds of "90", "90s", "1.5m", "2h" or "1d"; None for None.

    Raises:
        InputError: for anything else.
    """
    if time is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", time.strip())
    if match is None or not 0 < float(match[1]) < math.inf:
        raise InputError(f"{flag}: must be a time above 0 (got {shown(time)}); allowed: 90, 90s, 30m, 2h, 1d")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def jobs_of(text: str | None) -> int | None:
    """Return the number of jobs per device; None for the default and for "auto".

    Raises:
        InputError: for anything else.
    """
    if text is None or text == "auto":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise InputError(f"--jobs-per-device: must be a number from 1, or auto (got {shown(text)})")
    return int(text)


def tracking_in(log_to: str | None, board: Path | None, store: Path) -> "Tracking | None":
    """Return where runs are logged; None without a flag. Raises InputError if that is not possible."""
    if log_to is None and board is None:
        return None
    if log_to is not None and board is not None:
        raise InputError("--log-to and --tensorboard cannot be combined; the second is short for the first")
    from slbench.train.tracking import parse_tracking

    if board is not None:
        return parse_tracking(f"tensorboard:{board}", default=store, where="--tensorboard")
    assert log_to is not None
    return parse_tracking(log_to, default=store)


def split(values: Sequence[str | None], flag: str) -> list[str]:
    """Return the values of repeated and comma-separated flags: ["a,b", "c"] is a, b, c; None was not given.

    Raises:
        InputError: for a flag that is given without a value: "".
    """
    given = [value for value in values if value is not None]
    parts = [part.strip() for value in given for part in value.split(",") if part.strip()]
    if given and not parts:
        raise InputError(f"{flag}: is empty (got {shown(given[0])}); leave it out for the default")
    return parts


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Return the settings of PATH=VALUE pairs; a value is TOML, or else text."""
    settings = {}
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path.strip():
            raise InputError(f"--set: must be PATH=VALUE, such as recipe.epochs=3 (got {shown(change)})")
        check_key(path.strip(), "--set")
        settings[path.strip()] = value_of(text, flag=f"--set {path.strip()}")
    return settings


def value_of(text: str, *, flag: str) -> Any:
    """Return one value of TOML, or else the text itself."""
    try:
        content = parse_toml(f"value = {text}", where=flag)
    except InvalidTomlError:
        return text.strip()
    return content["value"] if len(content) == 1 else text.strip()


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
    data: "DataConfig | None" = None,
    plugins: Sequence[str] = (),
    **recipe_fields: float | None,
) -> "Study":
    """Return the study of a file overridden by flags, or of flags alone.

    Args:
        recipe_fields: fields with flags of their own; None: flag not given.
    Raises:
        InputError: if nothing says what to run, or for an invalid study or flag.
    """
    from slbench.study import Flags, load_study, make_study

    axes = {"backbone": backbone, "method": method, "dataset": dataset}
    grid: dict[str, list[Any]] = {name: split(values, f"--{name}") for name, values in axes.items() if values}
    if path is None and not grid:
        raise InputError("STUDY: nothing to run; name a study file, or --backbone, --method or --dataset")
    if seeds is not None:
        grid["seed"] = list(seeds)
    overrides = {f"recipe.{field}": value for field, value in recipe_fields.items() if value is not None}
    flags = Flags(
        grid=grid, set={**overrides, **parsed(changes)}, recipe=recipe, protocol=protocol, data=data, plugins=plugins
    )
    if path is None:
        return make_study({}, name="ad-hoc", where="command line", flags=flags)
    return load_study(path, flags)
