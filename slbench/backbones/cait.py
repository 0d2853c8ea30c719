"""CaiT: arXiv:2103.17239 in the sizes of arXiv:2112.13492."""

from dataclasses import replace
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer, layers_of_blocks
from slbench.backbones.depthwise_mlp import make_mlp
from slbench.backbones.layers import (
    MLP,
    Backbone,
    Block,
    DropPath,
    init_xavier_normal,
    require_image_size,
)
from slbench.backbones.receptive_part import ReceptivePart
from slbench.backbones.specs import CaiTSpec
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.attention import attend
from slbench.methods.lsa import AttentionLogits
from slbench.methods.receptive_steps import steps_of
from slbench.methods.spt import tokenizer
from slbench.methods.token_grid import TokenGrid


class HeadMix(nn.Module):
    """Linear combinations of heads (b h n m), the same for every query and key. Source: arXiv:2003.02436."""

    parameter_kinds: ClassVar[dict[str, str]] = {"weight": "weight"}

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(num_heads))  # (from head, to head)

    def forward(self, scores: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h n m"]:
        keys = scores.shape[-1]
        mixed = self.weight.t() @ rearrange(scores, "b h n m -> b h (n m)")
        return rearrange(mixed, "b h (n m) -> b h n m", m=keys)


class ReleasedDiagonalMask(nn.Module):
    """The mask of the released code: -1e-9 on the diagonal of the scores, which masks nothing."""

    def forward(self, scores: Float[Tensor, "b h n n"]) -> Float[Tensor, "b h n n"]:
        diagonal = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
        return scores.masked_fill(diagonal, -1e-9)


class TalkingHeads(nn.Module):
    """Multi-head attention whose heads are mixed before and after the softmax.

    Args:
        logits: scores of queries against keys; masked after the first mix, in which -inf would become NaN.
        before_mix: applied to the scores before the first mix.
    Source: arXiv:2003.02436 and arXiv:2103.17239; heads * head_dim may differ from dim.
    """

    def __init__(
        self, dim: int, *, num_heads: int, head_dim: int, logits: AttentionLogits, before_mix: nn.Module
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, num_heads * head_dim, bias=False)
        self.kv = nn.Linear(dim, 2 * num_heads * head_dim, bias=False)
        self.logits = logits
        self.before_mix = before_mix
        self.mix_scores = HeadMix(num_heads)
        self.mix_weights = HeadMix(num_heads)
        self.project = nn.Linear(num_heads * head_dim, dim)

    def forward(
        self, x: Float[Tensor, "b n d"], context: Float[Tensor, "b m d"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Return the attention of x over the context; default: x."""
        q = rearrange(self.q(x), "b n (h d) -> b h n d", h=self.num_heads)
        k, v = rearrange(
            self.kv(x if context is None else context), "b m (two h d) -> two b h m d", two=2, h=self.num_heads
        )
        mixed = attend(self.logits, q, k, v, adjust=self.mix_before, mix=self.mix_weights)
        output: Tensor = self.project(rearrange(mixed, "b h n d -> b n (h d)"))
        return output

    def mix_before(self, scores: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h n m"]:
        """Return the scores mixed over the heads."""
        mixed: Tensor = self.mix_scores(self.before_mix(scores))
        return mixed


class LayerScale(nn.Module):
    """A learned factor per channel, with a small initial value. Source: arXiv:2103.17239."""

    parameter_kinds: ClassVar[dict[str, str]] = {"factor": "weight"}

    def __init__(self, dim: int, *, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return x * self.factor


def scale_start(block: int) -> float:
    """Return the initial LayerScale factor of a block (from 0). Source: arXiv:2103.17239, section 2."""
    if block < 18:
        return 0.1
    return 1e-5 if block < 24 else 1e-6


class ClassBlock(nn.Module):
    """A block in which only the class token attends and is updated.

    Args:
        released: the keys are the patches without a norm, as in the released code of arXiv:2112.13492; else the
            class token and the patches, normed together.
    Source: class attention of arXiv:2103.17239.
    """

    def __init__(
        self, dim: int, *, attention: TalkingHeads, hidden: int, scale: float, drop_path: float, released: bool
    ) -> None:
        super().__init__()
        self.released = released
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.attention_scale = LayerScale(dim, start=scale)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(MLP(dim, hidden), LayerScale(dim, start=scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, token: Float[Tensor, "b 1 d"], patches: Float[Tensor, "b n d"]) -> Float[Tensor, "b 1 d"]:
        if self.released:
            read = self.attention(self.attention_norm(token), patches)
        else:
            tokens = self.attention_norm(torch.cat([token, patches], dim=1))
            read = self.attention(tokens[:, :1], tokens)
        token = token + self.drop_path(self.attention_scale(read))
        output: Tensor = token + self.drop_path(self.mlp(self.mlp_norm(token)))
        return output


class CaiT(Backbone):
    """CaiT: images (b c h w) to logits (b k); talking heads, LayerScale, class attention at the end.

    Args:
        method: changes the tokenizer, and every attention and MLP among patches; in the class blocks, which
            have one query, only the temperature applies.
        drop_path: rate of stochastic depth, the same in every block.
    Source: sizes and initial values as in the released code of arXiv:2112.13492; `variant` is in
    `CaiTSpec`. In the variant of the paper class attention norms class and patch tokens together, as in
    arXiv:2103.17239.
    """

    def __init__(self, spec: CaiTSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        assert spec.patch_size is not None
        height, width = method.grid(shape.size, patches=spec.patch_grid(shape.size))
        tokens = TokenGrid(height=height, width=width)
        released = spec.variant == "released"
        hidden = int(spec.dim * spec.mlp_ratio)
        self.image_size = shape.size
        self.tokenizer = tokenizer(method, shape.channels, spec.dim, patch_size=spec.patch_size)
        self.positions = nn.Parameter(torch.zeros(1, height * width, spec.dim))
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.dim))
        self.blocks = nn.Sequential(
            *[
                Block(
                    spec.dim,
                    attention=nn.Sequential(
                        patch_attention(spec, method, tokens), LayerScale(spec.dim, start=scale_start(i))
                    ),
                    mlp=nn.Sequential(
                        make_mlp(method, spec.dim, hidden, tokens), LayerScale(spec.dim, start=scale_start(i))
                    ),
                    drop_path=drop_path,
                )
                for i in range(spec.depth)
            ]
        )
        self.class_blocks = nn.ModuleList(
            ClassBlock(
                spec.dim,
                attention=class_attention(
                    spec, method, replace(tokens, class_token=not released, class_query_only=True)
                ),
                hidden=hidden,
                scale=scale_start(i),
                drop_path=drop_path,
                released=released,
            )
            for i in range(spec.class_depth)
        )
        self.norm = nn.LayerNorm(spec.dim)
        self.head = nn.Linear(spec.dim, shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        patches = self.blocks(self.tokenizer(images) + self.positions)
        token = self.class_token.expand(len(patches), -1, -1)
        for block in self.class_blocks:
            token = block(token, patches)
        logits: Tensor = self.head(self.norm(token[:, 0]))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return layers_of_blocks(self.blocks) + layers_of_blocks(self.class_blocks, noun="class block")

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return (ReceptivePart("tokens", steps_of(self.tokenizer), self.tokenizer),)

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        if parameter is self.class_token or parameter is self.positions or isinstance(module, HeadMix):
            nn.init.normal_(parameter, generator=source)
        else:
            init_xavier_normal(module, name, parameter, source=source)


def patch_attention(spec: CaiTSpec, method: Method, tokens: TokenGrid) -> TalkingHeads:
    """Return the attention among patches, masked as in the variant."""
    released = spec.variant == "released"
    return TalkingHeads(
        spec.dim,
        num_heads=spec.num_heads,
        head_dim=spec.head_dim,
        logits=AttentionLogits.from_method(
            method, num_heads=spec.num_heads, head_dim=spec.head_dim, can_mask=not released, tokens=tokens
        ),
        before_mix=ReleasedDiagonalMask() if released and method.mask_self else nn.Identity(),
    )


def class_attention(spec: CaiTSpec, method: Method, tokens: TokenGrid) -> TalkingHeads:
    """Return the attention of the class token: with the method's temperature, without a mask."""
    return TalkingHeads(
        spec.dim,
        num_heads=spec.num_heads,
        head_dim=spec.head_dim,
        logits=AttentionLogits.from_method(
            method, num_heads=spec.num_heads, head_dim=spec.head_dim, can_mask=False, tokens=tokens
        ),
        before_mix=nn.Identity(),
    )
