"""Small models from elsewhere, by name; each has the attention of its family."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
TIMM: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"img_size": 32, "patch_size": 4, "depth": 2, "embed_dim": 48},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "patch_size": 2, "window_size": 4, **STAGES},
    "swinv2_tiny_window8_256": {"img_size": 32, "patch_size": 2, "window_size": 4, **STAGES},
    "cait_xxs24_224": {"img_size": 32, "patch_size": 4, "depth": 2, "embed_dim": 48, "init_values": 1.0},
    "pit_ti_224": {"img_size": 32, "patch_size": 4, "stride": 2, "depth": (1, 1, 1), "base_dims": (8, 8, 8)},
    "levit_128s": {},
}


def timm_model(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """Return a small model of timm in eval mode and its image size; its 10 classes and weights are those of a seed."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, **TIMM[name]).eval()
    side = TIMM[name].get("img_size", 224)
    return model, (side, side)


class Own(nn.Module):
    """Patches, one attention layer, mean of the tokens: a model that a user may write."""

    def __init__(self, attention: nn.Module, dim: int = 12) -> None:
        super().__init__()
        self.image_size = 8
        self.embed = nn.Conv2d(1, dim, 2, stride=2)
        self.attention = attention
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.head((tokens + self.attention(tokens)).mean(1))
        return logits


class Fused(nn.Module):
    """Fused self-attention of 3 heads; `keys` maps the tokens to those that are keys."""

    def __init__(self, dim: int = 12, *, mask: Tensor | None = None) -> None:
        super().__init__()
        self.num_heads, self.mask = 3, mask
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def keys(self, tokens: Tensor) -> Tensor:
        return tokens

    def forward(self, x: Tensor) -> Tensor:
        q, (_, k, v) = self.qkv(x).chunk(3, -1)[0], self.qkv(self.keys(x)).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, self.mask)
        output: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return output


class OtherTokens(Fused):
    """As many keys as queries, but each is the next token."""

    def keys(self, tokens: Tensor) -> Tensor:
        return tokens.roll(1, 1)


class Einsum(Fused):
    """Explicit self-attention by einsum."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        weights = torch.einsum("bhid,bhjd->bhij", q * q.shape[-1] ** -0.5, k).softmax(-1)
        output: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return output


class Torch(nn.Module):
    """`nn.TransformerEncoderLayer`, whose inference has a fused path that skips its submodules."""

    def __init__(self, dim: int = 12) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(dim, 3, dim, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x)
        return output
