"""Training steps and inference of slbench's networks beside those of vit-pytorch and timm, and how they scale.

make bench, make bench-compiled: tables in Markdown. A training step is forward, backward and AdamW on random images;
networks of a backbone, and a matrix product for the peak, take turns, and ratios are of neighbours in time. What is
measured is CPU time at one thread, which other programs disturb least, else wall time. Nothing but steps is inside the
clock: compiling is not.
"""

import argparse
import contextlib
import dataclasses
import json
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from statistics import median, quantiles

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers import SHAPE, macs_of, matched, ours, peers, without_fused_attention
from slbench import machine
from slbench.backbones import default_spec
from slbench.backbones.specs import ViTSpec
from slbench.image_shape import ImageShape
from slbench.markdown import markdown_table
from slbench.measure.network import Network
from slbench.methods import METHODS
from slbench.torch_runtime import autocast, reproducible
from slbench.train.compiled import compiled

BACKBONES = ("vit", "cait", "t2t", "pit", "swin")
CPU = torch.device("cpu")
PEAK_SIZE = 1024  # of the square matrices whose product is the peak
MODES = ("train", "inference")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network at a setting."""

    name: str
    module: nn.Module
    macs: int
    precision: str = "fp32"
    ours: bool = True  # trained under slbench's deterministic mode, as its runs are
    shape: ImageShape = SHAPE
    compiled: bool = False

    def forward(self, threads: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the forward pass: compiled by torch as slbench compiles its networks, peers by torch's defaults."""
        if not self.compiled:
            return self.module
        return compiled(self.module, threads=threads) if self.ours else torch.compile(self.module)


def make_pass(candidate: Candidate, mode: str, *, batch: int, threads: int) -> Callable[[], None]:
    """Return a function that trains on one batch, or classifies it."""
    module, forward = candidate.module, candidate.forward(threads)
    images = torch.randn(batch, candidate.shape.channels, *candidate.shape.size)
    labels = torch.randint(candidate.shape.classes, (batch,))
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def classify() -> None:
        module.eval()
        with torch.no_grad(), autocast(CPU, candidate.precision):
            forward(images)

    def train() -> None:
        module.train()
        optimizer.zero_grad()
        with autocast(CPU, candidate.precision):
            logits = forward(images)
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def run() -> None:
        with reproducible(threads) if candidate.ours else contextlib.nullcontext():
            train() if mode == "train" else classify()

    return run


def make_peak(precision: str) -> Callable[[], None]:
    """Return a function that multiplies two square matrices."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    first, second = torch.randn(2, PEAK_SIZE, PEAK_SIZE).to(dtype)

    def run() -> None:
        torch.mm(first, second)

    return run


def in_turns(passes: dict[str, Callable[[], None]], *, rounds: int, threads: int) -> dict[str, list[float]]:
    """Return the seconds of each pass in each round, after one that is not counted."""
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(rounds + 1):
        for name, run in passes.items():
            began = clock()
            run()
            if number:
                seconds[name].append(clock() - began)
    return seconds


def spread(values: Sequence[float], digits: int) -> str:
    """Return median and quartiles."""
    low, middle, high = quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def candidates(backbone: str, precisions: Sequence[str]) -> Iterator[Candidate]:
    """Yield the networks of a backbone and its matched peers at each setting; the first is slbench's plain one."""
    own = {method: ours(backbone, method) for method in ("none", "both")}
    macs = {method: macs_of(module) for method, module in own.items()}
    for precision in precisions:
        for method, module in own.items():
            yield Candidate(name=f"slbench {method}", module=module, macs=macs[method], precision=precision)
    for peer in peers(backbone):
        name, target = peer.name, macs[peer.method]
        network = matched(peer.build, target)
        if network is None:
            print(
                f"{name}: no width of its MLP has the multiply-adds of slbench {peer.method} within 3 %",
                file=sys.stderr,
            )
            continue
        settings = {name: network}
        if any(hasattr(module, "fused_attn") for module in network.modules()):
            settings = {
                f"{name}, fused attention": network,
                f"{name}, plain attention": plain_copy(peer.build, target),
            }
        for label, module in settings.items():
            for precision in precisions:
                yield Candidate(name=label, module=module, macs=macs_of(module), precision=precision, ours=False)


def plain_copy(build: Callable[[float], nn.Module], macs: int) -> nn.Module:
    """Return a peer without fused attention."""
    network = matched(build, macs)
    assert network is not None
    return without_fused_attention(network)


def with_compiled(entries: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield each network as it is, and compiled."""
    for entry in entries:
        yield entry
        yield dataclasses.replace(entry, name=f"{entry.name}, compiled", compiled=True)


def compare(
    backbone: str, *, batch: int, threads: int, rounds: int, precisions: Sequence[str], modes: Sequence[str], both: bool
) -> Iterator[list[str]]:
    """Yield the rows of a backbone: each network's speed, and slbench's without a method as a ratio to it.

    Args:
        both: each network also compiled; then ratios compare compiled with compiled.
    """
    entries = list(candidates(backbone, precisions))
    if both:
        entries = list(with_compiled(entries))
    for mode in modes:
        torch.compiler.reset()
        passes = {
            f"{entry.name}/{entry.precision}": make_pass(entry, mode, batch=batch, threads=threads) for entry in entries
        }
        passes |= {f"peak/{precision}": make_peak(precision) for precision in precisions}
        seconds = in_turns(passes, rounds=rounds, threads=threads)
        for entry in entries:
            taken = seconds[f"{entry.name}/{entry.precision}"]
            base = seconds[f"{baseline(entry)}/{entry.precision}"]
            operations = 2 * entry.macs * batch * (3 if mode == "train" else 1)
            peak = 2 * PEAK_SIZE**3 / median(seconds[f"peak/{entry.precision}"])
            measured = mode == "train" and entry.precision == "fp32" and not both
            yield [
                backbone,
                mode,
                entry.precision,
                entry.name,
                f"{entry.macs / 1e6:.1f}",
                spread([batch / value for value in taken], 1),
                ""
                if entry.name == baseline(entry)
                else spread([theirs / own for theirs, own in zip(taken, base, strict=True)], 2),
                f"{100 * operations / median(taken) / peak:.0f} %",
                f"{peak_memory(backbone, entry, batch=batch, threads=threads):,.0f}" if measured else "",
            ]


def baseline(entry: Candidate) -> str:
    """Return which network of slbench a network is compared with: its own eager one, or a peer's counterpart."""
    if entry.ours:
        return entry.name.removesuffix(", compiled")
    counterpart = "slbench both" if "small" in entry.name else "slbench none"
    return f"{counterpart}, compiled" if entry.compiled else counterpart


HEADS = ["backbone", "mode", "precision", "network", "M MACs", "images/s", "slbench's speed / its", "of peak", "MiB"]


def peak_memory(backbone: str, entry: Candidate, *, batch: int, threads: int) -> float:
    """Return the MiB that two training steps take in a process of their own, beyond those of the idle network."""
    task = json.dumps([backbone, entry.name, entry.precision, batch, threads])
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.networks", "--memory-of", task]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_memory(task: str) -> None:
    backbone, name, precision, batch, threads = json.loads(task)
    (entry,) = (entry for entry in candidates(backbone, [precision]) if entry.name == name)
    torch.set_num_threads(threads)
    machine.return_freed_memory()
    machine.forget_peak()
    idle = machine.peak_resident_bytes()
    run = make_pass(entry, "train", batch=batch, threads=threads)
    run()
    run()
    print((machine.peak_resident_bytes() - idle) / 2**20)


def scaled() -> Iterator[tuple[str, str, ViTSpec, int, int]]:
    """Yield axis, point, sizes, image side in px and batch of the curves: one axis leaves the paper's ViT at a time."""
    spec = default_spec("vit")
    assert isinstance(spec, ViTSpec)
    spec = dataclasses.replace(spec, patch_size=4)
    for batch in (1, 8, 32, 128, 256):
        yield "batch", str(batch), spec, 32, batch
    for side in (32, 64, 96):
        yield "tokens", f"{(side // 4) ** 2 + 1} ({side} px)", spec, side, 16
    for depth in (3, 6, 9, 12):
        yield "depth", str(depth), dataclasses.replace(spec, depth=depth), 32, 32
    for dim in (96, 192, 384):
        yield "width", str(dim), dataclasses.replace(spec, dim=dim), 32, 32


def scaling(*, threads: int, rounds: int) -> Iterator[list[str]]:
    """Yield the rows of the scaling curves of training, fp32."""
    for axis, point, spec, side, batch in scaled():
        shape = ImageShape((side, side), 3, 10)
        row = [axis, point, str(batch)]
        for method in ("none", "both"):
            module = Network.resolve(spec, METHODS[method], shape=shape).build()
            macs = macs_of(module, shape=shape)
            entry = Candidate(name=method, module=module, macs=macs, shape=shape)
            machine.return_freed_memory()
            machine.forget_peak()
            idle = machine.peak_resident_bytes()
            passes = {method: make_pass(entry, "train", batch=batch, threads=threads), "peak": make_peak("fp32")}
            seconds = in_turns(passes, rounds=rounds, threads=threads)
            share = 6 * macs * batch / median(seconds[method]) / (2 * PEAK_SIZE**3 / median(seconds["peak"]))
            memory = (machine.peak_resident_bytes() - idle) / 2**20
            speed = spread([batch / value for value in seconds[method]], 1)
            row += [f"{macs / 1e6:.0f}", speed, f"{100 * share:.0f} %", f"{memory:,.0f}"]
        yield row


SCALING_HEADS = ["axis", "point", "batch"] + [
    f"{method}: {what}" for method in ("none", "both") for what in ("M MACs", "images/s", "of peak", "MiB")
]


def versions() -> str:
    """Return the versions of what is compared."""
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("slbench", "torch", "vit-pytorch", "timm"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", nargs="*", choices=BACKBONES, default=BACKBONES)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--precision", nargs="*", choices=("fp32", "bf16"), help="default: those of this processor")
    parser.add_argument("--compiled", action="store_true", help="each network also compiled, which takes minutes each")
    parser.add_argument("--scaling", action="store_true", help="only the scaling curves")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    torch.set_num_threads(options.threads)
    torch._dynamo.config.recompile_limit = 64  # graphs of one class, of all networks, precisions and modes
    if options.memory_of:
        print_memory(options.memory_of)
        return
    precisions = options.precision or (["fp32", "bf16"] if machine.cpu_computes_bf16() else ["fp32"])
    host = machine.host()
    clock = "CPU time" if options.threads == 1 else "wall time"
    print(
        f"{host.cpu}, {platform.machine()}, {host.cores} cores; {options.threads} threads, batch {options.batch}, "
        f"{clock}, medians and quartiles of {options.rounds} rounds; {versions()}\n",
        flush=True,
    )
    if options.scaling:
        print(markdown_table(SCALING_HEADS, list(scaling(threads=options.threads, rounds=options.rounds))))
        return
    for backbone in options.backbone:
        rows = compare(
            backbone,
            batch=options.batch,
            threads=options.threads,
            rounds=options.rounds,
            precisions=precisions,
            modes=options.modes,
            both=options.compiled,
        )
        print(markdown_table(HEADS, list(rows)), flush=True)
        print()


if __name__ == "__main__":
    main()
