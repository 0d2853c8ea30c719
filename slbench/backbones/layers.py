"""What two or more backbones share: attention, MLP, the pre-norm block, stochastic depth, initial values."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods import Method
from slbench.methods.lsa import AttentionLogits
from slbench.rng import generator


class Backbone(nn.Module):
    """A classifier of images: (b c h w) to logits (b k). Says how its own parameters start."""

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        """Give one parameter its initial value in place. What is not touched stays as constructed.

        Args:
            module: its owner, in which it is called `name`.
            source: a stream of this parameter alone.
        """
        raise NotImplementedError


class Attention(nn.Module):
    """Multi-head self-attention over tokens, with plain or LSA scores.

    Args:
        qkv_bias: queries, keys and values have a bias. That of the keys never gets a gradient but zero.
    Source: arXiv:1706.03762; heads * head_dim may differ from dim.
    """

    def __init__(self, dim: int, *, num_heads: int, head_dim: int, method: Method, qkv_bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * num_heads * head_dim, bias=qkv_bias)
        self.logits = AttentionLogits.of(method, num_heads=num_heads, head_dim=head_dim)
        self.project = nn.Linear(num_heads * head_dim, dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        weights = self.logits(q, k).softmax(dim=-1)
        mixed: Tensor = self.project(rearrange(weights @ v, "b h n d -> b n (h d)"))
        return mixed


class MLP(nn.Sequential):
    """Linear, GELU, linear; each token by itself."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


class DropPath(nn.Module):
    """Stochastic depth: in training, a branch is left out for each sample with probability `rate`.

    What stays is divided by 1 - rate, so that the mean is kept. Source: arXiv:1603.09382.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), each branch under stochastic depth."""

    def __init__(self, dim: int, *, attention: nn.Module, mlp: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        grown: Tensor = x + self.drop_path(self.mlp(self.mlp_norm(x)))
        return grown


def rising_rates(rate: float, depth: int) -> list[float]:
    """Rates of stochastic depth that rise linearly from 0 in the first block to `rate` in the last."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]


def with_class_token(token: Float[Tensor, "1 1 d"], patches: Float[Tensor, "b n d"]) -> Float[Tensor, "b n_plus_1 d"]:
    """The class token of each sample, before its patches."""
    return torch.cat([token.expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1)


def require_image_size(images: Tensor, image_size: tuple[int, int]) -> None:
    """Raise ValueError unless the images (b c h w) have the size (height, width) a network was made for."""
    if tuple(images.shape[-2:]) != image_size:
        raise ValueError(f"made for images of {image_size} px, got {tuple(images.shape[-2:])}")


def initialize(network: Backbone, *, seed: int) -> None:
    """Draw every parameter from a stream of its own, named by the seed and the parameter.

    So two rows of an ablation start alike wherever they have the same parameter.
    """
    with torch.no_grad():
        for path, module in network.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                source = generator(seed, "initial", f"{path}.{name}")
                network.init_parameter(module, name, parameter, source=source)


def init_xavier_normal(module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
    """Weights of linears and convolutions Xavier normal, their biases 0; norms stay (1, 0).

    A convolution counts as the linear map on its window that it is, so that a tokenizer starts with
    the same spread whether it is written as one or as the other.
    """
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if name == "bias":
        nn.init.zeros_(parameter)
    else:
        nn.init.xavier_normal_(parameter.view(parameter.shape[0], -1), generator=source)


def init_truncated_normal(module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
    """Weights of linears and convolutions from a normal of 0.02, cut at +-2, their biases 0; norms stay (1, 0)."""
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if name == "bias":
        nn.init.zeros_(parameter)
    else:
        nn.init.trunc_normal_(parameter, std=0.02, generator=source)


def init_kaiming_normal(module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
    """Weights of convolutions Kaiming normal by what leaves them, of linears normal 0.01; biases 0; norms stay (1, 0).

    Source: arXiv:1502.01852 for convolutions.
    """
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if name == "bias":
        nn.init.zeros_(parameter)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu", generator=source)
    else:
        nn.init.normal_(parameter, std=0.01, generator=source)
