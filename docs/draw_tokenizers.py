"""Draw which pixels one token reads, counted from the tokenizers themselves: docs/images/tokenizer-windows.svg.

Run from the root of the repository: python docs/draw_tokenizers.py
"""

from pathlib import Path

import matplotlib
import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods import METHODS
from slbench.methods.spt import tokenizer

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Rectangle

PATCH, PATCHES = 4, 3  # px a side; patches a side
METHOD_NAMES = ["none", "spt-1px-cardinal", "spt-cardinal", "spt", "spt-all8", "overlapping-conv", "window-2p"]
FILE = Path(__file__).parent / "images" / "tokenizer-windows.svg"
COLORS = ["#ffffff", "#cfe3f3", "#8fc1e3", "#3f8fc5", "#1c5f96", "#0b3a63"]  # read 0, 1, 2, ... times


def pixel_counts(method: str) -> Float[Tensor, "height width"]:
    """Return how many features of the middle token contain each pixel of a grey image.

    Flattening and shifting copy pixels: with all weights 1 and without the norm, the token's gradient is that count.
    """
    module = tokenizer(METHODS[method], 1, 1, patch_size=PATCH)
    if hasattr(module, "norm"):
        module.norm = nn.Identity()
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    image = torch.zeros(1, 1, PATCH * PATCHES, PATCH * PATCHES, requires_grad=True)
    middle = PATCHES**2 // 2
    (counts,) = torch.autograd.grad(module(image)[0, middle, 0], image)
    return counts[0, 0]


def draw(file: Path) -> None:
    """Write the picture: one panel per method, with the token's own patch framed."""
    plt.rcParams |= {"svg.hashsalt": "slbench", "svg.fonttype": "none", "font.size": 9}
    figure, grid = plt.subplots(2, 4, figsize=(7.6, 4.6), layout="constrained")
    *axes, last = grid.flat
    last.axis("off")
    norm = BoundaryNorm([level - 0.5 for level in range(len(COLORS) + 1)], len(COLORS))
    side = PATCH * PATCHES
    start = PATCH * (PATCHES // 2)
    for name, ax in zip(METHOD_NAMES, axes, strict=True):
        counts = pixel_counts(name)
        assert counts.max() < len(COLORS), f"{name}: a pixel is read {counts.max():g} times: add a color"
        shown = ax.imshow(counts.numpy(), cmap=ListedColormap(COLORS), norm=norm, extent=(0, side, side, 0))
        lines = range(0, side + 1, PATCH)
        ax.set(title=name, aspect="equal", xticks=lines, yticks=lines, xticklabels=[], yticklabels=[])
        ax.tick_params(length=0)
        ax.grid(color="#b0b0b0", linewidth=0.5)
        ax.add_patch(Rectangle((start, start), PATCH, PATCH, fill=False, edgecolor="#d55e00", linewidth=2))
        ax.set_xlabel(f"{int((counts > 0).sum())} px, {int(counts.sum())} features")
    bar = figure.colorbar(shown, cax=last.inset_axes((0.1, 0, 0.12, 1)), ticks=range(len(COLORS)), label="times read")
    bar.ax.tick_params(length=0, which="both")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(FILE)
