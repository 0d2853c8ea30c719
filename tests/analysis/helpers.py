"""Small networks and captures of their attention."""

import torch

from slbench.analysis.capture import AttentionCapture, capture_attention
from slbench.backbones import build, resolve_network
from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import BackboneSpec
from slbench.gpu_check import perturbed
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.lsa import AttentionLogits
from slbench.methods.token_grid import TokenGrid
from tests.contracts.small import images, small

ATTENDING = ["vit", "t2t", "cait", "pit", "swin"]
RIVALS = ["gmm-mean-pool", "registers", "cct", "dw-mlp"]  # other tokens, scores, readouts and MLPs than elsewhere
PAIRS = [(backbone, method) for backbone in ATTENDING for method in ("none", "both")] + [
    ("vit", name) for name in RIVALS
]


def network_of(backbone: str, method: str) -> Backbone:
    """Return a small network in which every part affects the output."""
    return perturbed(small(backbone, method)).eval()


def captures_of(network: Backbone, backbone: str) -> list[AttentionCapture]:
    captures: list[AttentionCapture] = []
    with torch.no_grad(), capture_attention(network.attention_layers(), captures.append):
        network(images(backbone))
    return captures


def network_of_size(spec: BackboneSpec, method: Method, size: tuple[int, int]) -> Backbone:
    spec, method = resolve_network(spec, method, shape=ImageShape(size, 2, 3))
    network = build(spec, method, shape=ImageShape(size, 2, 3), drop_path=0.0, seed=0)
    return network.eval()


def others(tokens: int) -> torch.Tensor:
    return ~torch.eye(tokens, dtype=torch.bool)[None]


def plain(tokens: tuple[int, int], *, class_token: bool = False) -> AttentionLayer:
    grid = TokenGrid(height=tokens[0], width=tokens[1], class_token=class_token)
    return AttentionLayer(number=1, logits=AttentionLogits(1, 7, tokens=grid))
