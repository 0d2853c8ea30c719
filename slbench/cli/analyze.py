"""`slbench analyze`: attention maps, sharpness and self-relation of finished runs."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from slbench.analysis.run_selection import FinishedRun, Requirements, RunSelection, select_runs, split_named
from slbench.cli import options
from slbench.cli.grid import say
from slbench.cli.printing import print_json
from slbench.cli.terminal import Terminal
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.grid.slots import make_slots
from slbench.store import Store
from slbench.study import Flags, load_study
from slbench.text import shown

if TYPE_CHECKING:
    import torch

    from slbench.analysis.captions import AnalysisOutput
    from slbench.analysis.load import OnProgress

Runs = Annotated[list[str], typer.Argument(metavar="[RUN]...", help="Runs: ids, unique prefixes of ids, or folders.")]
StudyFile = Annotated[
    Path | None,
    typer.Option("--study", help="Use every finished run of a study file.", metavar="FILE", show_default=False),
]
StudySeeds = Annotated[
    list[str], typer.Option("--seed", help="Only these seeds of the study: comma-separated.", metavar="N,...")
]
SplitName = Annotated[str, typer.Option("--split", help="Split of the data: test, val or train.")]
MaxImages = Annotated[
    int | None,
    typer.Option("--max-images", help="Use at most N evenly spaced images of the split.", min=1, show_default=False),
]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Images per batch.", min=1)]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Output folder. [default: STORE/analysis/NAME]", metavar="DIR", show_default=False),
]
ThreadCount = Annotated[int, typer.Option("--threads", help="CPU threads.", min=1)]
DeviceName = Annotated[str, typer.Option("--device", help="Device: cpu, cuda:0 or mps.")]


def attention(
    runs: Runs = [],  # noqa: B006
    study: StudyFile = None,
    seed: StudySeeds = [],  # noqa: B006
    images: Annotated[
        list[str], typer.Option("--images", help="Indices of images in the split: comma-separated.", metavar="N,...")
    ] = [],  # noqa: B006
    per_class: Annotated[
        int | None,
        typer.Option(
            "--per-class", help="Use the first N images of each class.", min=1, metavar="N", show_default=False
        ),
    ] = None,
    rollout: Annotated[bool, typer.Option("--rollout", help="Attention rollout through all layers.")] = False,
    all_blocks: Annotated[
        bool, typer.Option("--all-blocks", help="Also draw a sheet of the blocks of each run.")
    ] = False,
    mixed: Annotated[bool, typer.Option("--mixed", help="CaiT: magnitudes after the last mix of heads.")] = False,
    split: SplitName = "test",
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    out: Out = None,
    data_root: options.DataRoot = None,
    batch_size: BatchSize = 50,
    threads: ThreadCount = 1,
    device: DeviceName = "cpu",
    figure_style: options.FigureLook = "screen",
    as_json: options.Json = False,
) -> None:
    """Draw where the class token attends, on the same images for every run.

    Writes a contact sheet with one column per run (Fig. 5 of the paper).
    """
    if images and per_class is not None:
        raise InputError("--images and --per-class cannot be combined")
    if mixed and rollout:
        raise InputError("--mixed and --rollout cannot be combined; rollout uses the attention after the softmax")
    rows, look = numbers(images, "--images"), options.figure_style(figure_style)
    data = DataConfig.read(data_root, runs_plugins=True)
    chosen = chosen_runs(store, runs, study, seed, one_seed=True, data=data)
    where = torch_device(device, threads)
    from slbench.analysis.attention import AttentionOptions
    from slbench.analysis.contact_sheet import write_sheet

    setting = AttentionOptions(
        split=split_named(split),
        images=tuple(rows) if rows else None,
        per_class=per_class,
        rollout=rollout,
        all_blocks=all_blocks,
        mixed=mixed,
        device=where,
        threads=threads,
        batch_size=batch_size,
        look=look,
    )
    with progress() as on_run:
        output = write_sheet(chosen, setting, out=folder_for(chosen.name, store, out), on_run=on_run)
    show(output, as_json=as_json)


def sharpness(
    runs: Runs = [],  # noqa: B006
    study: StudyFile = None,
    seed: StudySeeds = [],  # noqa: B006
    split: SplitName = "test",
    max_images: MaxImages = None,
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: B006  (named when it is parsed)
    out: Out = None,
    data_root: options.DataRoot = None,
    batch_size: BatchSize = 50,
    threads: ThreadCount = 1,
    device: DeviceName = "cpu",
    figure_style: options.FigureLook = "screen",
    as_json: options.Json = False,
) -> None:
    """Measure by layer how sharp attention is.

    Kullback-Leibler divergence from uniform attention in two definitions, entropy, self weight, distance (Fig. 4).
    """
    by_depth("sharpness", locals())


def self_relation(
    runs: Runs = [],  # noqa: B006
    study: StudyFile = None,
    seed: StudySeeds = [],  # noqa: B006
    split: SplitName = "test",
    max_images: MaxImages = None,
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: B006  (named when it is parsed)
    out: Out = None,
    data_root: options.DataRoot = None,
    batch_size: BatchSize = 50,
    threads: ThreadCount = 1,
    device: DeviceName = "cpu",
    figure_style: options.FigureLook = "screen",
    as_json: options.Json = False,
) -> None:
    """Measure by layer how tokens score themselves, and query and key norms.

    Scores are taken before any mask.
    """
    by_depth("self-relation", locals())


def by_depth(name: str, flags: dict[str, Any]) -> None:
    """Run `sharpness` or `self-relation`."""
    look = options.figure_style(flags["figure_style"])
    data = DataConfig.read(flags["data_root"], runs_plugins=True)
    chosen = chosen_runs(flags["store"], flags["runs"], flags["study"], flags["seed"], data=data)
    split = split_named(flags["split"])
    device = torch_device(flags["device"], flags["threads"])
    from slbench.analysis.layer_metrics import BY_DEPTH, LayerMetricOptions, analyse

    setting = LayerMetricOptions(
        split=split,
        max_images=flags["max_images"],
        device=device,
        threads=flags["threads"],
        batch_size=flags["batch_size"],
        data=data,
        look=look,
    )
    with progress() as on_run:
        out = folder_for(chosen.name, flags["store"], flags["out"])
        output = analyse(BY_DEPTH[name], chosen, setting, out=out, on_run=on_run)
    show(output, as_json=flags["as_json"])


def chosen_runs(
    store: Path,
    names: Sequence[str],
    study: Path | None,
    seed: Sequence[str] = (),
    *,
    one_seed: bool = False,
    needs: Requirements = Requirements(),
    data: DataConfig | None = None,
) -> RunSelection:
    """Return the named runs.

    Args:
        one_seed: of a study use only the first seed, unless seeds are named.
    """
    results = Store(store)
    results.check(writing=False)
    seeds = numbers(seed, "--seed")
    if seeds and study is None:
        raise InputError("--seed: needs --study FILE; it selects among the runs of a study")
    loaded = None if study is None else load_study(study, Flags(data=data))
    if loaded is None or not one_seed or seeds:
        return replace(select_runs(results, names, study=loaded, seeds=seeds or None, needs=needs), data=data)
    known = sorted({run.spec.seed for run in loaded.runs})
    chosen = select_runs(results, names, study=loaded, seeds=known[:1], needs=needs)
    others = [f"Only the first of the study's seeds {', '.join(map(str, known))} is shown."] if len(known) > 1 else []
    return replace(chosen, notes=(*others, *chosen.notes), data=data)


def numbers(values: Sequence[str], flag: str) -> list[int]:
    """Return whole numbers, comma-separated or repeated."""
    texts = options.split(values, flag)
    for value in texts:
        if not value.isdecimal():
            raise InputError(f"{flag}: must be comma-separated whole numbers from 0 (got {shown(value)})")
    return [int(value) for value in texts]


def torch_device(name: str, threads: int) -> "torch.device":
    """Return the device of this name. Raises InputError if this machine has none."""
    slots = make_slots(name, jobs_per_device=1, threads=threads)
    if len(slots) > 1:
        raise InputError(f"--device: must be one device (got {shown(name)})")
    import torch

    return torch.device(slots[0].device.label)


def folder_for(name: str, store: Path, out: Path | None) -> Path:
    """Return the output folder, checked to be writable."""
    folder = out or store / "analysis" / name
    Store(folder).check(writing=True)
    return folder


@contextmanager
def progress() -> "Iterator[Callable[[FinishedRun], OnProgress]]":
    """Show the progress of each run on a terminal."""
    console = Terminal(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def on_run(run: FinishedRun) -> "OnProgress":
            task = bars.add_task(run.title, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield on_run


def show(output: "AnalysisOutput", *, as_json: bool) -> None:
    """Print the page and where its files are, or one JSON document."""
    if as_json:
        document = {
            "folder": str(output.folder),
            "files": list(output.files),
            "caption": list(output.caption),
            "rows": json.loads(output.frame.to_json(orient="records", double_precision=15)),
        }
        print_json(document)
        return
    paragraphs = "\n".join(line for line in output.text.splitlines() if not line.startswith("![")).split("\n\n")
    print("\n\n".join(filter(None, map(str.strip, paragraphs))) + "\n")
    say(Terminal(), f"written to {output.folder}: {'; '.join(grouped(output.files))}")


def grouped(files: Sequence[str]) -> list[str]:
    """Return files that differ only in their suffix as one entry: "sharpness.png, .svg, .pdf"."""
    stems = dict[str, list[str]]()
    for file in files:
        stem, _, suffix = file.rpartition(".")
        stems.setdefault(stem, []).append(f".{suffix}")
    return [f"{stem}{', '.join(suffixes)}" for stem, suffixes in stems.items()]
