"""GPU self-test: compare losses with the CPU, and measure memory and throughput.

Each check returns one line; an exception becomes a failed check. On the CPU all checks except those of CUDA compare the
CPU with itself.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slbench import machine
from slbench.backbones import BACKBONES, build, check_method, default_spec, resolve_network
from slbench.backbones.specs import BackboneSpec
from slbench.errors import InapplicableError
from slbench.grid.processes import child_environment, worker_device
from slbench.grid.slots import Device
from slbench.image_shape import ImageShape
from slbench.measure.network import Network
from slbench.measure.throughput_keys import TIMINGS, Timing
from slbench.methods import METHODS, model_title
from slbench.recipes import RECIPES
from slbench.text import mebibytes

if TYPE_CHECKING:
    import torch

    from slbench.backbones.layers import Backbone

IMAGES, CHANNELS, CLASSES = 2, 5, 7
STEPS = 5
FP32_SHARE = 1e-3  # tolerance between devices in fp32 over five steps: sums in another order
BF16_SHARE = 0.05  # tolerance between bf16 and fp32 in the first step

Sizes = Mapping[str, tuple[BackboneSpec, tuple[int, int]]]  # and image (height, width) in px
SMALL: Sizes = {name: entry.small for name, entry in BACKBONES.items()}


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    name: str
    result: str
    passed: bool


def applies(backbone: str, method: str) -> bool:
    """Return whether a method applies to a backbone."""
    try:
        check_method(SMALL[backbone][0], METHODS[method])
    except InapplicableError:
        return False
    return True


PAIRS = [(backbone, method) for backbone in BACKBONES for method in METHODS if applies(backbone, method)]


def small(backbone: str, method: str, *, seed: int = 0, drop_path: float = 0.0, sizes: Sizes = SMALL) -> "Backbone":
    """Return the small network of a backbone and method."""
    unresolved, size = sizes[backbone]
    shape = ImageShape(size, CHANNELS, CLASSES)
    spec, resolved_method = resolve_network(unresolved, METHODS[method], shape=shape)
    return build(spec, resolved_method, shape=shape, drop_path=drop_path, seed=seed)


def images(backbone: str, *, count: int = IMAGES, sizes: Sizes = SMALL) -> "torch.Tensor":
    """Return fixed random images (b c h w) for a backbone."""
    import torch

    return torch.randn(count, CHANNELS, *sizes[backbone][1], generator=torch.Generator().manual_seed(0))


def perturbed(network: "Backbone") -> "Backbone":
    """Add noise to every parameter, since some parts hardly affect the output at initialisation."""
    import torch

    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=source))
    return network


def losses(
    backbone: str, method: str, *, device: "torch.device", precision: str = "fp32", sizes: Sizes = SMALL
) -> list[float]:
    """Return the losses of the first AdamW steps of a small network on one batch; deterministic, one CPU thread."""
    import torch
    import torch.nn.functional as F

    from slbench.torch_runtime import autocast, reproducible
    from slbench.train.optim import make_optimizer

    with reproducible(1):
        network = perturbed(small(backbone, method, sizes=sizes)).to(device).train()
        batch, labels = images(backbone, sizes=sizes).to(device), torch.arange(IMAGES, device=device)
        optimizer = make_optimizer(network, RECIPES["quick"])
        values = []
        for _ in range(STEPS):
            with autocast(device, precision):
                logits = network(batch)
            loss = F.cross_entropy(logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            values.append(loss.item())
    return values


def run_gpu_check(device: Device, *, timing: Timing = TIMINGS["paper"]) -> Iterator[Check]:
    """Yield the result of every check on a device."""
    import torch

    torch_device = torch.device(device.label)
    yield attempt("binding", lambda: binding(device))
    yield attempt("golden losses", lambda: same_losses(torch_device))
    yield attempt("bf16", lambda: near_losses(torch_device))
    yield attempt("allocator", lambda: memory(torch_device, device))
    if device.kind == "cuda":
        yield attempt("CUDA graphs", lambda: graphs(torch_device))
    yield attempt("throughput", lambda: throughput(torch_device, device, timing))


def attempt(name: str, check: Callable[[], tuple[str, bool]]) -> Check:
    """Run a check; any exception is a failed check, so that the report stays complete."""
    try:
        return Check(name, *check())
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return Check(name, f"{type(error).__name__}: {first}", False)


SEES = "import torch; print([str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())])"


def binding(device: Device) -> tuple[str, bool]:
    """Check that a child process sees its own device only, or none on the CPU."""
    environment = child_environment(device, 1)
    done = subprocess.run([sys.executable, "-c", SEES], capture_output=True, text=True, env=environment, check=True)
    expected = [device.cuda.removeprefix("GPU-")] if device.kind == "cuda" else []
    return f"child process for {device.label} sees {done.stdout.strip()} as {worker_device(device)}", (
        done.stdout.strip() == str(expected)
    )


def same_losses(device: "torch.device") -> tuple[str, bool]:
    """Check that the first losses of every backbone and method equal those of the CPU."""
    import torch

    shares = {pair: share(losses(*pair, device=device), losses(*pair, device=torch.device("cpu"))) for pair in PAIRS}
    return worst_difference(shares, f"{STEPS} steps in fp32 on {device} against the CPU", FP32_SHARE)


def near_losses(device: "torch.device") -> tuple[str, bool]:
    """Check that the first loss in bf16 is near that in fp32."""
    shares = {
        pair: share(losses(*pair, device=device, precision="bf16")[:1], losses(*pair, device=device)[:1])
        for pair in PAIRS
    }
    return worst_difference(shares, f"first loss in bf16 against fp32 on {device}", BF16_SHARE)


def share(values: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest relative difference; infinite if a value is not finite."""
    if not all(math.isfinite(value) for value in (*values, *expected)):
        return math.inf
    return max(abs(a - b) / abs(b) for a, b in zip(values, expected, strict=True))


def worst_difference(shares: dict[tuple[str, str], float], what: str, allowed: float) -> tuple[str, bool]:
    """Return a line on the largest difference, and whether it is allowed."""
    worst = max(shares, key=lambda pair: shares[pair])
    difference = f"max. difference {shares[worst]:.1e} ({', '.join(worst)}; allowed {allowed:g})"
    return f"{what}, {len(shares)} networks: {difference}", shares[worst] <= allowed


def memory(device: "torch.device", slot_device: Device) -> tuple[str, bool]:
    """Check that a training step uses at least weights, gradients and two moments of each parameter."""
    from slbench.measure.memory import measure

    network = paper_network("none")
    measured = measure(
        network,
        machine_id=machine.host().machine_id,
        device=device,
        device_label=slot_device.label,
        device_name=slot_device.name,
        threads=1,
        precision="fp32",
        batch_size=16,
        repeats=1,
    )
    used, minimum = measured.median - measured.idle, 16 * sum(p.numel() for p in network.build().parameters())
    return f"ViT, batch 16: {mebibytes(used)}, of which {minimum / 2**20:,.0f} for parameters", used > minimum


def graphs(device: "torch.device") -> tuple[str, bool]:
    """Check that a captured forward pass, replayed on other images, matches the network."""
    import torch

    network, batch = small("vit", "both").to(device).eval(), images("vit").to(device)
    with torch.no_grad():
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            network(batch)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = network(batch)
        batch.mul_(-2)
        graph.replay()
        difference = (captured - network(batch)).abs().max().item()
    return f"captured forward pass: max. difference {difference:.1e} (allowed 1e-5)", difference <= 1e-5


def throughput(device: "torch.device", slot_device: Device, timing: Timing) -> tuple[str, bool]:
    """Measure images per second of the paper's ViT, plain and with SPT and LSA, with the paper's protocol."""
    from slbench.measure.throughput import measure

    speeds = measure(
        [paper_network("none"), paper_network("both")],
        ("inference",),
        machine_id=machine.host().machine_id,
        device=device,
        device_label=slot_device.label,
        device_name=slot_device.name,
        threads=1,
        precision="fp32",
        timing=timing,
    )
    texts = [
        f"{model_title('ViT', method)} {speed.median:,.0f} ({speed.q1:,.0f}-{speed.q3:,.0f})"
        for method, speed in zip(("none", "both"), speeds, strict=True)
    ]
    passes = f"{timing.warmup} + {timing.rounds * timing.passes} passes of batch {speeds[0].batch_size}"
    return f"images/s at 64 px in fp32, {passes}: {', '.join(texts)}", all(speed.median > 0 for speed in speeds)


def paper_network(method: str) -> Network:
    """Return the paper's ViT for Tiny-ImageNet."""
    return Network.resolve(default_spec("vit"), METHODS[method], shape=ImageShape((64, 64), 3, 200))
