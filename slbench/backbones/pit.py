"""PiT: arXiv:2103.16302 in the sizes of arXiv:2112.13492."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.layers import (
    MLP,
    Attention,
    Backbone,
    Block,
    draw_xavier_normal,
    require_image_size,
    with_class_token,
)
from slbench.backbones.specs import PiTSpec
from slbench.methods import Method
from slbench.methods.spt import pooling, tokenizer


class GroupedConvPool(nn.Module):
    """A 3 x 3 convolution of each channel at stride 2, then a 1 x 1 convolution: (b c h w) to tokens (b n d)."""

    def __init__(self, dim: int, next_dim: int) -> None:
        super().__init__()
        self.each = nn.Conv2d(dim, next_dim, kernel_size=3, stride=2, padding=1, groups=dim)
        self.mix = nn.Conv2d(next_dim, next_dim, kernel_size=1)

    def forward(self, grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = rearrange(self.mix(self.each(grid)), "b d h w -> b (h w) d")
        return tokens


class Pool(nn.Module):
    """Between two stages: the grid of patches is halved and widened, the class token widened.

    Args:
        rows: of the grid that comes in.
    Source: arXiv:2103.16302, section 3.2; with the 1 x 1 convolution of the released code of
    arXiv:2112.13492.
    """

    def __init__(self, dim: int, next_dim: int, *, rows: int, method: Method) -> None:
        super().__init__()
        self.rows = rows
        self.grid = pooling(method, dim, next_dim, own=GroupedConvPool(dim, next_dim))
        self.class_token = nn.Linear(dim, next_dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b m next_d"]:
        grid = rearrange(x[:, 1:], "b (h w) d -> b d h w", h=self.rows)
        return torch.cat([self.class_token(x[:, :1]), self.grid(grid)], dim=1)


class PiT(Backbone):
    """A vision transformer whose grid of tokens is halved and widened between stages; a class token runs through.

    Args:
        spec: sizes; its patch is resolved against the image.
        method: the row of the ablation, in the tokenizer, in the pooling with S_pool, in every attention.
        image_size: (height, width) in px.
        drop_path: rate of stochastic depth, the same in every block.
    Raises:
        InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
            shift comes to 0 px.
    Source: sizes and initial values as in the released code of arXiv:2112.13492: patches without
    overlap, learned positions that like the class token start from a standard normal; no qkv bias.
    """

    def __init__(
        self,
        spec: PiTSpec,
        method: Method,
        *,
        image_size: tuple[int, int],
        in_channels: int = 3,
        num_classes: int,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        spec = spec.resolved(image_size)
        method = method.resolved(pools=True)
        assert spec.patch_size is not None
        rows, columns = (side // spec.patch_size for side in image_size)
        self.image_size = image_size
        self.tokenizer = tokenizer(method, in_channels, spec.dims[0], patch_size=spec.patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.dims[0]))
        self.positions = nn.Parameter(torch.zeros(1, 1 + rows * columns, spec.dims[0]))
        stages: list[nn.Module] = []
        for stage, (dim, depth, num_heads) in enumerate(zip(spec.dims, spec.depths, spec.num_heads, strict=True)):
            if stage > 0:
                stages.append(Pool(spec.dims[stage - 1], dim, rows=rows // 2 ** (stage - 1), method=method))
            stages += [
                Block(
                    dim,
                    attention=Attention(dim, num_heads=num_heads, head_dim=dim // num_heads, method=method),
                    mlp=MLP(dim, int(dim * spec.mlp_ratio)),
                    drop_path=drop_path,
                )
                for _ in range(depth)
            ]
        self.blocks = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(spec.dims[-1])
        self.head = nn.Linear(spec.dims[-1], num_classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        x = with_class_token(self.class_token, self.tokenizer(images))
        x = self.blocks(x + self.positions)
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits

    def draw_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.class_token or parameter is self.positions:
            nn.init.normal_(parameter, generator=source)
        else:
            draw_xavier_normal(module, name, parameter, source=source)
