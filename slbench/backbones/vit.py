"""ViT: arXiv:2010.11929 in the sizes of arXiv:2112.13492."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer, layers_of_blocks
from slbench.backbones.depthwise_mlp import make_mlp
from slbench.backbones.layers import (
    Attention,
    Backbone,
    Block,
    init_xavier_normal,
    require_image_size,
    with_class_token,
)
from slbench.backbones.readout import has_class_token, readout, registers
from slbench.backbones.receptive_part import ReceptivePart
from slbench.backbones.specs import ViTSpec
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.receptive_steps import steps_of
from slbench.methods.spt import tokenizer
from slbench.methods.token_grid import TokenGrid


class ViT(Backbone):
    """ViT: images (b c h w) to logits (b k), classified by the class token.

    Args:
        method: changes the tokenizer, every attention and MLP, and the readout; registers follow the class token.
        drop_path: rate of stochastic depth, the same in every block.
    Source: sizes and initial values as in the released code of arXiv:2112.13492: learned positions
    and the class token start from a standard normal. Its dropout of 0 is left out.
    """

    def __init__(self, spec: ViTSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        assert spec.patch_size is not None
        height, width = method.grid(shape.size, patches=spec.patch_grid(shape.size))
        tokens = TokenGrid(height=height, width=width, class_token=has_class_token(method), registers=method.registers)
        self.image_size = shape.size
        self.tokenizer = tokenizer(method, shape.channels, spec.dim, patch_size=spec.patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.dim)) if tokens.class_token else None
        self.positions = nn.Parameter(torch.zeros(1, int(tokens.class_token) + height * width, spec.dim))
        self.registers = registers(method, spec.dim, tokens)
        self.blocks = nn.Sequential(
            *[
                Block(
                    spec.dim,
                    attention=Attention(
                        spec.dim,
                        num_heads=spec.num_heads,
                        head_dim=spec.dim // spec.num_heads,
                        method=method,
                        tokens=tokens,
                        qkv_bias=spec.qkv_bias,
                    ),
                    mlp=make_mlp(method, spec.dim, int(spec.dim * spec.mlp_ratio), tokens),
                    drop_path=drop_path,
                )
                for _ in range(spec.depth)
            ]
        )
        self.norm = nn.LayerNorm(spec.dim)
        self.readout = readout(method, spec.dim, tokens)
        self.head = nn.Linear(spec.dim, shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        x = self.tokenizer(images)
        if self.class_token is not None:
            x = with_class_token(self.class_token, x)
        x = self.blocks(self.registers(x + self.positions))
        logits: Tensor = self.head(self.readout(x, self.norm))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return layers_of_blocks(self.blocks)

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return (ReceptivePart("tokens", steps_of(self.tokenizer), self.tokenizer),)

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.positions:
            init_positions(parameter, source=source, has_class=self.class_token is not None)
        elif parameter is self.class_token or name == "reg_token":
            nn.init.normal_(parameter, generator=source)
        else:
            init_xavier_normal(module, name, parameter, source=source)


def init_positions(positions: Tensor, *, source: torch.Generator, has_class: bool) -> None:
    """Draw positions from a standard normal: those of the patches are the same with and without a class token."""
    shape = (1, positions.shape[1] + (not has_class), positions.shape[2])
    positions.copy_(torch.empty(shape).normal_(generator=source)[:, -positions.shape[1] :])
