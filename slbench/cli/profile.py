"""`slbench profile`: what networks cost, beside what the paper says they cost."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from slbench import machine
from slbench.backbones import BACKBONES
from slbench.cli import options
from slbench.errors import InputError
from slbench.grid.slots import Slot, make_slots, resolve_precision
from slbench.measure.speeds import Mode, network_key
from slbench.methods import METHODS, row_title
from slbench.names import lookup
from slbench.report.published import Published, find
from slbench.store import Store, Throughput

if TYPE_CHECKING:
    from slbench.measure.profile import Profile

ROWS = ("none", "spt", "lsa", "both", "both-no-pool")
PAPER_IMAGES = (64, 200, 3)  # side, classes, channels of Table 2's cost columns
NOISY = 0.1  # quartiles further apart than this share of the median
ROUNDS = {"short": (9, 0.25), "paper": (1000, 0.0)}  # rounds, and seconds of each; at least one batch
MODES: tuple[Mode, ...] = ("inference", "train")

# Why a count differs from the paper's, where it does. Source: the authors' scripts, recomputed.
OTHER_WORK = "products alone on the released model come to ours; the paper's script counts other work besides"
WITH_BATCH_NORM = "the paper adds batch norm: {with_norms:.1f} M with it ({with_norms_percent:+.2f} %)"
WHY: dict[str, str] = {
    "vit": OTHER_WORK,
    "t2t": OTHER_WORK,
    "cait": OTHER_WORK
    + "; its class token attends to the patches alone, ours to itself too (variant = 'released': 0.2 M less)",
    "pit": OTHER_WORK,
    "swin": OTHER_WORK,
    "resnet56": WITH_BATCH_NORM,
    "resnet110": WITH_BATCH_NORM,
    "efficientnet-b0": WITH_BATCH_NORM,
}
WHY_PARAMS = {  # cells of the paper that do not follow from its released code
    ("swin", "both"): "the paper prints 10.2 M parameters; its released code has ours",
    (
        "t2t",
        "both",
    ): "the paper prints 7.1 M parameters; its released code has ours and 1,152 of a norm that it never uses",
}


def profile(
    backbone: options.Backbones = [],  # noqa: B006
    method: options.Methods = [],  # noqa: B006
    image_size: Annotated[int, typer.Option("--image-size", "--img-size", help="Side in px.", min=1)] = 64,
    classes: Annotated[int, typer.Option("--classes", "--num-classes", min=2)] = 200,
    in_chans: Annotated[int, typer.Option("--in-chans", help="Channels of an image.", min=1)] = 3,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Of the timing.", min=1)] = 128,
    throughput: Annotated[bool, typer.Option(help="Also measure images/s.")] = True,
    timing: Annotated[
        str, typer.Option("--timing", help="short, or paper: 1000 passes of batch 128 in fp32.")
    ] = "short",
    precision: Annotated[str, typer.Option("--precision", help="auto, bf16 or fp32.")] = "fp32",
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    store: options.StoreFolder = Path("results"),
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    as_json: options.Json = False,
) -> None:
    """Multiply-adds, parameters and images/s of backbones and rows, without training."""
    backbones = options.split(backbone) or list(BACKBONES)
    methods = options.split(method) or list(ROWS)
    for name in backbones:
        lookup(BACKBONES, name, "backbone")
    for name in methods:
        lookup(METHODS, name, "method")
    rounds = lookup(ROUNDS, timing, "timing")
    if precision not in ("auto", "bf16", "fp32"):
        raise InputError(f"--precision {precision}: must be auto, bf16 or fp32")
    if throughput:
        Store(store).check(writing=True)
    slot = make_slots(devices, jobs_per_device=1, threads=threads)[0]
    from slbench.measure import profile as measure

    networks, notes = measure.networks(
        backbones, methods, image_size=(image_size, image_size), in_channels=in_chans, num_classes=classes
    )
    rows = [as_row(found) for found in measure.costs(networks)]
    if throughput:
        add_speeds(rows, list(networks.values()), slot, precision, batch_size, rounds, Store(store))
    if as_json:
        print(json.dumps(rows, indent=2))
    elif as_csv:
        print(as_csv_text(rows), end="")
    else:
        show(rows, notes if backbone or method else [], throughput)


def as_row(found: "Profile") -> dict[str, Any]:
    """One network as `--json` gives it."""
    network, cost = found.network, found.cost
    is_paper = (network.image_size[0], network.num_classes, network.in_channels) == PAPER_IMAGES
    macs, params = (paper(found.backbone, found.method, metric) if is_paper else None for metric in ("macs", "params"))
    return {
        "backbone": found.backbone,
        "method": found.method,
        "s_pool": network.method.s_pool == "yes",
        "image_size": network.image_size[0],
        "num_classes": network.num_classes,
        "in_channels": network.in_channels,
        "macs": cost.macs,
        "norm_operations": cost.norm_operations,
        "params": cost.params,
        "uncounted_operators": cost.uncounted_operators,
        "paper_flops_millions": macs and macs.value,
        "paper_params_millions": params and params.value,
    }


def paper(backbone: str, method: str, metric: str) -> Published | None:
    """The cell of Table 2, whose cost columns are at 64 px and 200 classes."""
    return find(backbone, method, metric, dataset="tiny-imagenet")


def add_speeds(
    rows: list[dict[str, Any]],
    networks: Sequence[Any],
    slot: Slot,
    precision: str,
    batch_size: int,
    rounds: tuple[int, float],
    store: Store,
) -> None:
    """Measure every network in turns with the others, file it by machine, and add it to its row."""
    import torch

    from slbench.measure.throughput import measure

    resolved = resolve_precision(precision, [slot])
    speeds = measure(
        networks,
        MODES,
        machine_id=machine.host().machine_id,
        device=torch.device(slot.device.label),
        device_label=slot.device.label,
        device_name=slot.device.name,
        threads=slot.threads,
        precision=resolved,
        batch_size=batch_size,
        rounds=rounds[0],
        seconds=rounds[1],
    )
    by_key = {speed.key: speed for speed in speeds}
    for row, network in zip(rows, networks, strict=True):
        for mode in MODES:
            key = network_key(
                network,
                device_kind=slot.device.kind,
                threads=slot.threads,
                precision=resolved,
                mode=mode,
                batch_size=batch_size,
            )
            store.add_throughput(by_key[key])
            row[f"{mode}_images_per_second"] = as_speed(by_key[key])


def as_speed(speed: Throughput) -> dict[str, float | int | bool]:
    noisy = speed.q3 - speed.q1 > NOISY * speed.median
    return {"median": speed.median, "q1": speed.q1, "q3": speed.q3, "n": speed.n, "too_noisy": noisy}


def as_csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV, nested values flattened."""
    text = io.StringIO()
    flat = []
    for row in rows:
        line: dict[str, Any] = {}
        for key, value in row.items():
            if key == "uncounted_operators":
                line[key] = " ".join(value)
            elif isinstance(value, dict):
                line |= {f"{key}_{name}": number for name, number in value.items()}
            else:
                line[key] = value
        flat.append(line)
    writer = csv.DictWriter(text, flat[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def show(rows: Sequence[dict[str, Any]], notes: Sequence[str], throughput: bool) -> None:
    """A table for a person, and why it differs from the paper's where it does."""
    first = rows[0]
    title = f"{first['image_size']} px, {first['in_channels']} channels, {first['num_classes']} classes"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("\nmodel")
    heads = ["MACs\n(M)", "paper's\nFLOPs (M)", "\ndifference", "\nparams", "paper's\n(M)"]
    heads += ["inference\nimages/s", "training\nimages/s"] if throughput else []
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*cells(row, throughput))
    Console(highlight=False, width=200).print(table)  # wide on any terminal: a number cut short is a wrong one
    console = Console(highlight=False)
    console.print(
        "MACs: multiply-adds of matrix products and convolutions for one image, counted with fvcore.", soft_wrap=True
    )
    for line in dict.fromkeys([*explanations(rows), *notes]):
        console.print(line, markup=False, soft_wrap=True)


def cells(row: dict[str, Any], throughput: bool) -> list[str]:
    published, params = row["paper_flops_millions"], row["paper_params_millions"]
    line = [
        row_title(BACKBONES[row["backbone"]].title, row["method"]),
        f"{row['macs'] / 1e6:.1f}",
        "" if published is None else f"{published:g}",
        "" if published is None else f"{difference(row['macs'], published):+.2f} %",
        f"{row['params']:,}",
        "" if params is None else f"{params:g}",
    ]
    for mode in MODES if throughput else ():
        speed = row[f"{mode}_images_per_second"]
        spread = "too noisy" if speed["too_noisy"] else f"{speed['q1']:,.0f}-{speed['q3']:,.0f}"
        line.append(f"{speed['median']:,.0f} ({spread})")
    return line


def difference(macs: int, published: float) -> float:
    """Percent of a published number, in millions."""
    return 100 * (macs / 1e6 / published - 1)


def explanations(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why ours and the paper's numbers differ, a line for each backbone or cell."""
    lines = []
    for row in rows:
        title = BACKBONES[row["backbone"]].title
        if row["paper_flops_millions"] is not None:
            with_norms = row["macs"] + row["norm_operations"]
            reason = WHY[row["backbone"]].format(
                with_norms=with_norms / 1e6, with_norms_percent=difference(with_norms, row["paper_flops_millions"])
            )
            lines.append(f"{title}: {reason}.")
        if row["paper_params_millions"] is not None and (row["backbone"], row["method"]) in WHY_PARAMS:
            lines.append(f"{row_title(title, row['method'])}: {WHY_PARAMS[row['backbone'], row['method']]}.")
    return lines
