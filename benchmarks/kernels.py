"""Kernels of attention that slbench.kernel_choice may name, at the shapes of the paper's networks.

make bench-kernels: CPU time at one thread of a forward and backward pass, and of a forward pass alone, as ratios of
the plain kernel to the fused one (above 1: fused is faster), in turns; nothing else is inside the clock.
"""

import argparse
import platform
from collections.abc import Callable

import torch

from benchmarks.networks import in_turns, spread
from slbench import machine
from slbench.markdown import markdown_table
from slbench.methods.attention import fused, plain
from slbench.methods.lsa import AttentionLogits
from slbench.torch_runtime import reproducible

# tokens, heads, channels per head, images: of networks at 32 px, and of the ViT at 64 px
SHAPES = {
    "ViT, 32 px": (65, 12, 16, 32),
    "ViT, 64 px": (257, 12, 16, 8),
    "T2T, first soft split": (256, 1, 64, 32),
    "PiT, first stage": (257, 2, 48, 16),
}
KERNELS = {"plain": plain, "fused": fused}


def make_pass(
    kernel: str, shape: tuple[int, int, int, int], *, dtype: torch.dtype, masked: bool, trains: bool
) -> Callable[[], None]:
    """Return a function that computes one attention, and its gradients if it trains."""
    tokens, heads, channels, images = shape
    scores = AttentionLogits(heads, channels, learn_temperature=masked, mask_self=masked)
    q, k, v = (torch.randn(images, heads, tokens, channels, dtype=dtype).requires_grad_(trains) for _ in range(3))

    def run() -> None:
        with reproducible(1), torch.set_grad_enabled(trains), torch.autocast("cpu", enabled=dtype == torch.bfloat16):
            output = KERNELS[kernel](scores, q, k, v)
            if trains:
                output.sum().backward()  # type: ignore[no-untyped-call]

    return run


def ratios(shape: tuple[int, int, int, int], *, dtype: torch.dtype, masked: bool, trains: bool, rounds: int) -> str:
    """Return median and quartiles of the time of the plain kernel over that of the fused one."""
    passes = {kernel: make_pass(kernel, shape, dtype=dtype, masked=masked, trains=trains) for kernel in KERNELS}
    seconds = in_turns(passes, rounds=rounds, threads=1)
    return spread([one / other for one, other in zip(seconds["plain"], seconds["fused"], strict=True)], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    host, rows = machine.host(), []
    machine.keep_freed_memory()  # as workers do
    for name, shape in SHAPES.items():
        for precision, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
            for masked in (False, True):
                how = {"dtype": dtype, "masked": masked, "rounds": rounds}
                trained, classified = (ratios(shape, trains=trains, **how) for trains in (True, False))
                rows.append([name, precision, "LSA" if masked else "plain", trained, classified])
    print(f"{host.cpu}, one thread; python {platform.python_version()}, torch {torch.__version__}; {rounds} rounds\n")
    print(markdown_table(["attention", "precision", "scores", "forward and backward", "forward"], rows))


if __name__ == "__main__":
    main()
