"""Small foreign models and a user's files."""

from pathlib import Path
from typing import Any

from slbench import examples
from slbench.backbones.specs.foreign import ForeignSpec, foreign_spec

EXAMPLES = Path(examples.__file__).parent
VIT: dict[str, Any] = {
    "name": "timm:vit_tiny_patch16_224",
    "patch_size": 8,
    "embed_dim": 12,
    "depth": 1,
    "num_heads": 3,
}
MODEL = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, num_classes, in_chans, *, width=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_chans, width, 8, 8), nn.Flatten(), nn.LazyLinear(num_classes))

    def forward(self, x):
        return self.layers(x)
"""
NEVER_RUN = 'raise RuntimeError("this file was run")\n'


def sized(table: dict[str, Any], folder: Path = EXAMPLES) -> ForeignSpec:
    return foreign_spec(table, where="test.toml", folder=folder)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
