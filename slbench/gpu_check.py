"""What the owner of a GPU runs once: whether it computes what a processor does, and how fast.

Each check gives one line, and an error becomes a line that says which. On a processor every check but those
of CUDA itself compares it with itself; that is how the tests see that they can fail.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slbench import machine
from slbench.backbones import BACKBONES, build, check_method, default_spec, resolve_network
from slbench.backbones.specs import (
    BackboneSpec,
    CaiTSpec,
    EfficientNetSpec,
    PiTSpec,
    ResNetSpec,
    SwinSpec,
    T2TSpec,
    ViTSpec,
)
from slbench.errors import InapplicableError
from slbench.grid.processes import child_environment, worker_device
from slbench.grid.slots import Device
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
FP32_SHARE = 1e-3  # by which a loss may differ between devices in fp32: sums in another order, over five steps
BF16_SHARE = 0.05  # and in bf16 from that in fp32 on the same device, in the first step

# The smallest network of every backbone in which each of its parts is there, and an image (height, width) in px.
Sizes = Mapping[str, tuple[BackboneSpec, tuple[int, int]]]
SMALL: Sizes = {
    "vit": (ViTSpec(patch_size=4, dim=6, depth=2, num_heads=3), (8, 12)),
    "t2t": (T2TSpec(num_splits=3, token_dim=5, dim=6, depth=2, num_heads=3), (13, 17)),
    "cait": (CaiTSpec(patch_size=4, dim=7, depth=2, class_depth=2, num_heads=3, head_dim=5), (8, 12)),
    "pit": (PiTSpec(patch_size=2, dims=(6, 12, 24), depths=(1, 2, 1), num_heads=(3, 2, 1)), (16, 24)),
    "swin": (SwinSpec(patch_size=2, dims=(6, 15), depths=(2, 2), num_heads=(3, 5)), (16, 24)),
    "resnet56": (ResNetSpec(width=5, blocks_per_stage=2), (13, 17)),
    "resnet110": (ResNetSpec(name="resnet110", width=3, blocks_per_stage=3), (13, 17)),
    "efficientnet-b0": (
        EfficientNetSpec(stem=5, dims=(3, 7, 7, 11, 13, 13, 17), depths=(1, 2, 1, 1, 1, 1, 1)),
        (33, 34),
    ),
}


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    what: str
    found: str
    passed: bool


def applies(backbone: str, method: str) -> bool:
    """Whether a row means something on a backbone."""
    try:
        check_method(SMALL[backbone][0], METHODS[method])
    except InapplicableError:
        return False
    return True


PAIRS = [(backbone, method) for backbone in BACKBONES for method in METHODS if applies(backbone, method)]


def small(backbone: str, method: str, *, seed: int = 0, drop_path: float = 0.0, sizes: Sizes = SMALL) -> "Backbone":
    """A small network of a pair."""
    given, image_size = sizes[backbone]
    spec, row = resolve_network(
        given, METHODS[method], image_size=image_size, in_channels=CHANNELS, num_classes=CLASSES
    )
    return build(
        spec, row, image_size=image_size, in_channels=CHANNELS, num_classes=CLASSES, drop_path=drop_path, seed=seed
    )


def images(backbone: str, *, count: int = IMAGES, sizes: Sizes = SMALL) -> "torch.Tensor":
    """The same random images (b c h w) for a backbone each time."""
    import torch

    return torch.randn(count, CHANNELS, *sizes[backbone][1], generator=torch.Generator().manual_seed(0))


def perturbed(network: "Backbone") -> "Backbone":
    """The network with noise on every parameter: as they start, some parts hardly change what comes out."""
    import torch

    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=source))
    return network


def losses(backbone: str, method: str, *, device: "torch.device", precision: str = "fp32") -> list[float]:
    """Losses of a small network's first steps of AdamW, all on the same batch; deterministic, one CPU thread."""
    import torch
    import torch.nn.functional as F

    from slbench.torch_runtime import autocast, reproducible
    from slbench.train.optim import make_optimizer

    with reproducible(1):
        network = perturbed(small(backbone, method)).to(device).train()
        batch, labels = images(backbone).to(device), torch.arange(IMAGES, device=device)
        optimizer = make_optimizer(network, RECIPES["quick"])
        found = []
        for _ in range(STEPS):
            with autocast(device, precision):
                logits = network(batch)
            loss = F.cross_entropy(logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found.append(loss.item())
    return found


def run_gpu_check(device: Device, *, timing: Timing = TIMINGS["paper"]) -> Iterator[Check]:
    """Every check on one device, each as it ends."""
    import torch

    there = torch.device(device.label)
    yield attempt("binding", lambda: binding(device))
    yield attempt("golden losses", lambda: same_losses(there))
    yield attempt("bf16", lambda: near_losses(there))
    yield attempt("allocator", lambda: memory(there, device))
    if device.kind == "cuda":
        yield attempt("CUDA graphs", lambda: graphs(there))
    yield attempt("throughput", lambda: throughput(there, device, timing))


def attempt(what: str, check: Callable[[], tuple[str, bool]]) -> Check:
    """A check's outcome. Whatever it raises is a check that failed: the page is to be whole."""
    try:
        return Check(what, *check())
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return Check(what, f"{type(error).__name__}: {first}", False)


SEES = "import torch; print([str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())])"


def binding(device: Device) -> tuple[str, bool]:
    """A child of a grid sees its own device alone, or none if it is to use the processor."""
    environment = child_environment(device, 1)
    done = subprocess.run([sys.executable, "-c", SEES], capture_output=True, text=True, env=environment, check=True)
    wanted = [device.cuda.removeprefix("GPU-")] if device.kind == "cuda" else []
    return f"a child that is given {device.label} sees {done.stdout.strip()} as {worker_device(device)}", (
        done.stdout.strip() == str(wanted)
    )


def same_losses(device: "torch.device") -> tuple[str, bool]:
    """The first losses of every pair of backbone and row are those of the processor."""
    import torch

    shares = {pair: share(losses(*pair, device=device), losses(*pair, device=torch.device("cpu"))) for pair in PAIRS}
    return compared(shares, f"{STEPS} steps in fp32 on {device} against the processor", FP32_SHARE)


def near_losses(device: "torch.device") -> tuple[str, bool]:
    """The first loss in bf16 is near that in fp32."""
    shares = {
        pair: share(losses(*pair, device=device, precision="bf16")[:1], losses(*pair, device=device)[:1])
        for pair in PAIRS
    }
    return compared(shares, f"first loss in bf16 against fp32 on {device}", BF16_SHARE)


def share(found: Sequence[float], expected: Sequence[float]) -> float:
    """The largest relative difference; infinite if a value is not finite."""
    if not all(math.isfinite(value) for value in (*found, *expected)):
        return math.inf
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


def compared(shares: dict[tuple[str, str], float], what: str, allowed: float) -> tuple[str, bool]:
    """The words for the worst of the differences, and whether it is allowed."""
    worst = max(shares, key=lambda pair: shares[pair])
    return (
        f"{what}, {len(shares)} networks: at most {shares[worst]:.1e} apart ({', '.join(worst)}; allowed {allowed:g})",
        shares[worst] <= allowed,
    )


def memory(device: "torch.device", found: Device) -> tuple[str, bool]:
    """A training step holds at least weights, gradients and two moments of each parameter."""
    from slbench.measure.memory import measure

    network = paper_network("none")
    measured = measure(
        network,
        machine_id=machine.host().machine_id,
        device=device,
        device_label=found.label,
        device_name=found.name,
        threads=1,
        precision="fp32",
        batch_size=16,
        repeats=1,
    )
    held, least = measured.median - measured.idle, 16 * sum(p.numel() for p in network.build().parameters())
    return f"ViT, batch 16: {mebibytes(held)}, of which {least / 2**20:,.0f} for parameters", held > least


def graphs(device: "torch.device") -> tuple[str, bool]:
    """A captured forward pass, replayed on other images, gives what the network gives."""
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
        apart = (captured - network(batch)).abs().max().item()
    return f"a captured forward pass is {apart:.1e} from the network's own (allowed 1e-5)", apart <= 1e-5


def throughput(device: "torch.device", found: Device, timing: Timing) -> tuple[str, bool]:
    """Images per second of the paper's ViT, plain and with both, by the paper's protocol."""
    from slbench.measure.throughput import measure

    speeds = measure(
        [paper_network("none"), paper_network("both")],
        ("inference",),
        machine_id=machine.host().machine_id,
        device=device,
        device_label=found.label,
        device_name=found.name,
        threads=1,
        precision="fp32",
        timing=timing,
    )
    words = [
        f"{model_title('ViT', row)} {speed.median:,.0f} ({speed.q1:,.0f}-{speed.q3:,.0f})"
        for row, speed in zip(("none", "both"), speeds, strict=True)
    ]
    passes = f"{timing.warmup} + {timing.rounds * timing.passes} passes of batch {speeds[0].batch_size}"
    return f"images/s at 64 px in fp32, {passes}: {', '.join(words)}", all(speed.median > 0 for speed in speeds)


def paper_network(method: str) -> Network:
    """The paper's ViT for Tiny-ImageNet."""
    return Network.resolve(default_spec("vit"), METHODS[method], image_size=(64, 64), in_channels=3, num_classes=200)
