"""ViT: arXiv:2010.11929 in the sizes of arXiv:2112.13492."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.layers import (
    MLP,
    Attention,
    Backbone,
    Block,
    init_xavier_normal,
    require_image_size,
    with_class_token,
)
from slbench.backbones.specs import ViTSpec
from slbench.methods import Method
from slbench.methods.spt import tokenizer


class ViT(Backbone):
    """ViT: images (b c h w) to logits (b k), classified by the class token.

    Args:
        spec: sizes; its patch is resolved against the image.
        method: changes the tokenizer and every attention.
        image_size: (height, width) in px; the patch must divide both.
        drop_path: rate of stochastic depth, the same in every block.
    Raises:
        InputError: if the patch does not divide the image, or the shift is 0 px.
    Source: sizes and initial values as in the released code of arXiv:2112.13492: learned positions
    and the class token start from a standard normal. Its dropout of 0 is left out.
    """

    def __init__(
        self,
        spec: ViTSpec,
        method: Method,
        *,
        image_size: tuple[int, int],
        in_channels: int = 3,
        num_classes: int,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        spec = spec.resolved(image_size)
        method = method.resolved(pools=False)
        assert spec.patch_size is not None
        tokens = (image_size[0] // spec.patch_size) * (image_size[1] // spec.patch_size)
        self.image_size = image_size
        self.tokenizer = tokenizer(method, in_channels, spec.dim, patch_size=spec.patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.dim))
        self.positions = nn.Parameter(torch.zeros(1, 1 + tokens, spec.dim))
        self.blocks = nn.Sequential(
            *[
                Block(
                    spec.dim,
                    attention=Attention(
                        spec.dim,
                        num_heads=spec.num_heads,
                        head_dim=spec.dim // spec.num_heads,
                        method=method,
                        qkv_bias=spec.qkv_bias,
                    ),
                    mlp=MLP(spec.dim, int(spec.dim * spec.mlp_ratio)),
                    drop_path=drop_path,
                )
                for _ in range(spec.depth)
            ]
        )
        self.norm = nn.LayerNorm(spec.dim)
        self.head = nn.Linear(spec.dim, num_classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        x = with_class_token(self.class_token, self.tokenizer(images))
        x = self.blocks(x + self.positions)
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.class_token or parameter is self.positions:
            nn.init.normal_(parameter, generator=source)
        else:
            init_xavier_normal(module, name, parameter, source=source)
