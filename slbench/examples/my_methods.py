"""Methods of one's own: attention scores by cosine similarity, and a tokenizer of two convolutions.

plugins = ["my_methods.py"] above [grid] of a study, and below it

    method = ["none", "lsa", "cosine", "two-convolutions"]
"""

import torch.nn.functional as F
from torch import Tensor, nn

from slbench.methods.lsa import AttentionLogits
from slbench.plugins import register_scores, register_tokenizer


@register_scores("cosine", learn_temperature=True, initial_temperature=0.05)
class CosineScores(AttentionLogits):
    """Scores by the angle between query and key, at a learned temperature."""

    def products(self, q: Tensor, k: Tensor) -> Tensor:
        return super().products(F.normalize(q, dim=-1), F.normalize(k, dim=-1))


@register_tokenizer("two-convolutions")
class TwoConvolutions(nn.Module):
    """A 3 x 3 convolution with GELU before the convolution that reads the patches."""

    def __init__(self, in_channels: int, dim: int, *, patch_size: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(in_channels, dim // 2, kernel_size=3, padding=1)
        self.patches = nn.Conv2d(dim // 2, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.patches(F.gelu(self.local(images))).flatten(2).transpose(1, 2)
        return tokens
