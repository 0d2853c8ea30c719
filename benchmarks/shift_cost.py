"""Speed of inference with SPT, as a ratio to the same network without it, by kind of image.

make bench-shift: a table in Markdown. Networks of a kind of image take turns, each for the same number of images, and
ratios are of the same round. What is measured is CPU time at one thread, which other programs disturb least.
"""

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from statistics import median, quantiles

import torch

from slbench import machine
from slbench.backbones import default_spec
from slbench.backbones.specs.vit import ViTSpec
from slbench.image_shape import ImageShape
from slbench.measure.macs import count
from slbench.measure.network import Network
from slbench.measure.throughput import make_pass
from slbench.methods import METHODS
from slbench.torch_runtime import reproducible

KINDS = {
    "gray, 28 px": ImageShape((28, 28), 1, 10),
    "gray, 32 px": ImageShape((32, 32), 1, 10),
    "RGB, 32 px": ImageShape((32, 32), 3, 10),
    "RGB, 64 px": ImageShape((64, 64), 3, 200),
}
BACKBONES = {  # with patches of 8 px, where they fit, the small ones
    "paper's ViT": default_spec("vit"),
    "ViT of quick.toml": ViTSpec(dim=96, depth=4, num_heads=4, patch_size=8),
    "dim 48, depth 3": ViTSpec(dim=48, depth=3, num_heads=3, patch_size=8),
}
METHOD_NAMES = ("none", "spt", "both")
TURN = 0.15  # seconds that a turn of `none` takes at least


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the networks of a table row share."""

    backbone: str
    kind: str
    precision: str

    def network(self, method: str) -> Network:
        """Return the network with a method; where its patch does not divide the image, with the default patch."""
        spec, shape = BACKBONES[self.backbone], KINDS[self.kind]
        assert isinstance(spec, ViTSpec)
        if spec.patch_size and shape.size[0] % spec.patch_size:
            spec = replace(spec, patch_size=None)
        return Network.resolve(spec, METHODS[method], shape=shape)


def seconds_by_round(passes: dict[str, Callable[[], None]], *, rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of a turn of each network in each round; a turn has as many passes for all."""
    first = next(iter(passes.values()))
    for run in passes.values():
        run()
    began = time.process_time()
    first()
    calls = max(1, round(TURN / (time.process_time() - began)))
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(rounds):
        order = list(passes) if number % 2 == 0 else list(reversed(passes))
        for name in order:
            began = time.process_time()
            for _ in range(calls):
                passes[name]()
            seconds[name].append((time.process_time() - began) / calls)
    return seconds


def row(setting: Setting, *, batch: int, rounds: int) -> list[str]:
    """Return the table row of a setting."""
    networks = {name: setting.network(name) for name in METHOD_NAMES}
    passes = {
        name: make_pass(network, "inference", batch_size=batch, device=torch.device("cpu"), precision=setting.precision)
        for name, network in networks.items()
    }
    with reproducible(1):
        seconds = seconds_by_round(passes, rounds=rounds)
    macs = {name: count(network.build(), shape=network.shape).macs for name, network in networks.items()}
    backbone = networks["none"].backbone
    assert isinstance(backbone, ViTSpec)
    return [
        setting.backbone,
        setting.kind,
        f"{backbone.patch_size} px",
        setting.precision,
        f"{batch / median(seconds['none']):,.0f}",
        f"{100 * (macs['spt'] / macs['none'] - 1):+.1f} %",
        *(
            spread([plain / own for plain, own in zip(seconds["none"], seconds[name], strict=True)])
            for name in METHOD_NAMES[1:]
        ),
    ]


def spread(values: list[float]) -> str:
    """Return median and quartiles."""
    low, middle, high = quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


HEADS = ["network", "images", "patch", "precision", "none: images/s", "MACs of SPT", "spt / none", "both / none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    precisions = ["fp32", "bf16"] if machine.cpu_computes_bf16() else ["fp32"]
    host, before = machine.host(), machine.CpuClock.now()
    print(table_head(), flush=True)
    for backbone, kind, precision in product(BACKBONES, KINDS, precisions):
        setting = Setting(backbone=backbone, kind=kind, precision=precision)
        print(f"| {' | '.join(row(setting, batch=options.batch, rounds=options.rounds))} |", flush=True)
    load = machine.CpuClock.now().other_load(before)
    print(
        f"\n{host.cpu}, {platform.machine()}, {os.cpu_count()} cores, of which other programs used {load:.1f}; torch "
        f"{torch.__version__}, 1 thread, batch {options.batch}, CPU time, median (quartiles) of {options.rounds} rounds"
    )


def table_head() -> str:
    """Return the first two lines of the table."""
    return f"| {' | '.join(HEADS)} |\n|{':--|' * len(HEADS)}"


if __name__ == "__main__":
    main()
