"""`slbench profile`: costs of networks beside the paper's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slbench import machine
from slbench.backbones import BACKBONES, named_title
from slbench.backbones.specs import is_foreign
from slbench.cli import options
from slbench.cli.costs import MODES, as_csv_text, show
from slbench.cli.printing import print_json
from slbench.errors import InputError
from slbench.grid.slots import Resolved, Slot, free_memory, make_slots, resolve_precision
from slbench.image_shape import MAX_CHANNELS, MAX_CLASSES, MAX_SIDE, ImageShape
from slbench.measure.memory_bounds import check_network
from slbench.measure.network import Network
from slbench.measure.throughput_keys import Timing, choose_timing, network_key
from slbench.measurement_records import Throughput
from slbench.methods import METHODS
from slbench.names import lookup
from slbench.published.numbers import Published, find
from slbench.recipes import MAX_COUNT
from slbench.store import Store

if TYPE_CHECKING:
    from slbench.measure.profile import Profile

DEFAULT_METHODS = ("none", "spt", "lsa", "both", "both-no-pool")
PAPER_IMAGES = (64, 200, 3)  # side, classes, channels of Table 2's cost columns
NOISY = 0.1  # interquartile range above this share of the median


def profile(
    backbone: options.Backbones = [],  # noqa: B006
    method: options.Methods = [],  # noqa: B006
    image_size: Annotated[
        int, typer.Option("--image-size", "--img-size", help="Image side in px.", min=1, max=MAX_SIDE)
    ] = 64,
    classes: Annotated[
        int, typer.Option("--classes", "--num-classes", help="Number of classes.", min=2, max=MAX_CLASSES)
    ] = 200,
    in_chans: Annotated[int, typer.Option("--in-chans", help="Image channels.", min=1, max=MAX_CHANNELS)] = 3,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Batch size of the timing.", min=1, max=MAX_COUNT)
    ] = 128,
    throughput: Annotated[bool, typer.Option(help="Also measure images/s.")] = True,
    memory: Annotated[
        bool | None, typer.Option(help="Also measure the peak memory of a training step. [default: as --throughput]")
    ] = None,
    timing: Annotated[
        str,
        typer.Option(
            "--timing",
            help="Timing protocol: short; paper (200 + 1000 passes); auto: paper on a GPU at the paper's settings.",
        ),
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="Precision: auto, bf16 or fp32.")] = "fp32",
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    store: options.StoreFolder = Path("results"),
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV to stdout.")] = False,
    as_json: options.Json = False,
) -> None:
    """Measure multiply-adds, parameters, images/s and memory."""
    backbones = options.split(backbone, "--backbone") or list(BACKBONES)
    methods = options.split(method, "--method") or list(DEFAULT_METHODS)
    for name in backbones:
        if not is_foreign(name):
            lookup(BACKBONES, name, "backbone", where="--backbone")
    for name in methods:
        lookup(METHODS, name, "method", where="--method")
    lookup(dict.fromkeys(("auto", "bf16", "fp32")), precision, "precision", where="--precision")
    memory = throughput if memory is None else memory
    if throughput or memory:
        Store(store).check(writing=True)
    slot = make_slots(devices, jobs_per_device=1, threads=threads)[0]
    resolved = resolve_precision(precision, [slot])
    chosen = choose_timing(
        timing,
        device_kind=slot.device.kind,
        batch_size=batch_size,
        precision=resolved,
        image_size=(image_size, image_size),
    )
    from slbench.measure.network import resolve_networks
    from slbench.measure.profile import costs

    shape = ImageShape((image_size, image_size), in_chans, classes)
    networks, notes = resolve_networks(backbones, methods, shape=shape, where="--image-size")
    for network in networks.values():  # multiply-adds are counted on the processor
        check_network(network, machine.available_memory(), batch=1, where="--image-size", use="forward")
        if throughput or memory:
            check_network(network, free_memory(slot.device), batch=batch_size, where=slot.device.label)
    rows = [as_row(profile) for profile in costs(networks)]
    setting = MeasurementContext(slot=slot, precision=resolved, batch_size=batch_size)
    if throughput:
        add_speeds(rows, list(networks.values()), setting, chosen, Store(store))
    if memory:
        add_memory(rows, list(networks.values()), setting, Store(store))
    if as_json:
        print_json(rows)
    elif as_csv:
        print(as_csv_text(rows), end="")
    else:
        show(
            rows,
            [
                *(notes if backbone or method else []),
                *([*how(setting, chosen), *shift_effect(rows, shape), *disturbance(rows)] if throughput else []),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class MeasurementContext:
    """Conditions of throughput and memory measurements."""

    slot: Slot
    precision: Resolved
    batch_size: int

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the measurements."""
        import torch

        device = self.slot.device
        return {
            "machine_id": machine.host().machine_id,
            "device": torch.device(device.label),
            "device_label": device.label,
            "device_name": device.name,
            "threads": self.slot.threads,
            "precision": self.precision,
            "batch_size": self.batch_size,
        }


def how(setting: MeasurementContext, timing: Timing) -> list[str]:
    """Return how images/s were measured."""
    turn = f"{timing.passes} passes" if timing.seconds == 0 else f"at least {timing.seconds:g} s"
    lines = [
        f"Images/s: median (quartiles) of {timing.rounds} rounds of {turn} each, networks in turns, after "
        f"{timing.warmup} warm-up passes; batch {setting.batch_size}, {setting.precision}, "
        f"--threads {setting.slot.threads}, on {setting.slot.device.name} ({setting.slot.device.label})."
    ]
    if timing.name != "paper":
        lines.append("This is the short timing, not the paper's 200 + 1000 passes on a GPU (--timing paper).")
    return lines


def as_row(profile: "Profile") -> dict[str, Any]:
    """Return one network as a row of `--json`."""
    network, cost = profile.network, profile.cost
    is_paper = (network.image_size[0], network.num_classes, network.in_channels) == PAPER_IMAGES
    macs, params = (
        paper(profile.backbone, profile.method, metric) if is_paper else None for metric in ("macs", "params")
    )
    return {
        "backbone": profile.backbone,
        "method": profile.method,
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
    """Return the cell of Table 2, whose cost columns are at 64 px and 200 classes."""
    return find(backbone, method, metric, dataset="tiny-imagenet")


def add_speeds(
    rows: list[dict[str, Any]], networks: Sequence[Network], setting: MeasurementContext, timing: Timing, store: Store
) -> None:
    """Measure the throughput of all networks in turns, store it and add it to their rows."""
    from slbench.measure.throughput import measure

    with enough_memory(setting):
        by_key = {speed.key: speed for speed in measure(networks, MODES, timing=timing, **setting.arguments())}
    for row, network in zip(rows, networks, strict=True):
        for mode in MODES:
            key = network_key(
                network,
                device_kind=setting.slot.device.kind,
                threads=setting.slot.threads,
                precision=setting.precision,
                mode=mode,
                batch_size=setting.batch_size,
            )
            store.add_throughput(by_key[key])
            row[f"{mode}_images_per_second"] = as_speed(by_key[key])


def add_memory(
    rows: list[dict[str, Any]], networks: Sequence[Network], setting: MeasurementContext, store: Store
) -> None:
    """Measure the peak training memory of each network, store it and add it to its row."""
    from slbench.measure.memory import measure

    for row, network in zip(rows, networks, strict=True):
        with enough_memory(setting):
            measured = measure(network, **setting.arguments())
        store.add_memory(measured)
        fields = ("median", "lowest", "highest", "n", "idle")
        row["training_memory_bytes"] = {field: getattr(measured, field) for field in fields}


@contextmanager
def enough_memory(setting: MeasurementContext) -> Iterator[None]:
    """Raise InputError in place of torch.OutOfMemoryError."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"--batch-size: not enough memory on {setting.slot.device.label} (got {setting.batch_size}); "
            "use a smaller batch"
        ) from error


def shift_effect(rows: Sequence[dict[str, Any]], shape: ImageShape) -> Iterator[str]:
    """Yield how SPT changes images/s, alone or else with LSA, for the backbones that were measured without it too."""
    speeds = {
        (row["backbone"], row["method"]): [row[f"{mode}_images_per_second"]["median"] for mode in MODES] for row in rows
    }
    for method, name in (("spt", "SPT"), ("both", "SPT with LSA")):
        texts = []
        for backbone in dict.fromkeys(row["backbone"] for row in rows):
            with_shift, plain = speeds.get((backbone, method)), speeds.get((backbone, "none"))
            if with_shift and plain:
                changes = [f"{100 * (one / other - 1):+.0f}" for one, other in zip(with_shift, plain, strict=True)]
                text = f"{named_title(backbone)} {changes[0]} % (training {changes[1]} %)"
                texts.append(text.replace("-", "−"))
        if texts:
            yield f"{name} changes images/s on {shape.kind}: {', '.join(texts)}."
            return


def disturbance(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a warning if other processes used the machine during the measurement."""
    speeds = [row[f"{mode}_images_per_second"] for row in rows for mode in MODES]
    loads = [speed["other_load"] for speed in speeds if speed["disturbed"]]
    if not loads:
        return []
    return [f"Warning: other processes used {max(loads):.1f} cores during the measurement; images/s may be too low."]


def as_speed(speed: Throughput) -> dict[str, float | int | bool | str | None]:
    noisy = speed.q3 - speed.q1 > NOISY * speed.median
    values = {"median": speed.median, "q1": speed.q1, "q3": speed.q3, "n": speed.n}
    load = {"other_load": speed.other_load, "disturbed": speed.is_disturbed}
    return {**values, "timing": speed.timing, "too_noisy": noisy, **load}
