"""Layers of several backbones: attention, MLP, pre-norm block, stochastic depth, initial values."""

from collections.abc import Collection

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.parameter_kinds import Kind, parameter_kind
from slbench.backbones.receptive_part import ReceptivePart
from slbench.methods import Method
from slbench.methods.attention import attend
from slbench.methods.lsa import AttentionLogits
from slbench.methods.token_grid import TokenGrid
from slbench.recipes import ParameterKind
from slbench.rng import generator


class Backbone(nn.Module):
    """Base class of image classifiers: images (b c h w) to logits (b k).

    A network describes itself: the optimizer asks for the kinds of its parameters, the analyses for its attention
    layers and the receptive fields of its tokens.

    Args of each network, which `slbench.backbones.construct` gives:
        spec: sizes, resolved against the images.
        method: changes the tokenizer, the pooling and the attention; its defaults are resolved for the backbone.
        shape: of the images.
        drop_path: rate of stochastic depth.
    """

    head: nn.Module  # its input is what the classes are read from

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        """Return the attention layers in order of computation; none for a network without attention."""
        raise NotImplementedError

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        """Return the parts with a receptive field; the first is the encoder's input, of a CNN its last features."""
        raise NotImplementedError

    def parameter_kind(self, name: str) -> Kind:
        """Return the kind of a parameter, by which a recipe exempts it from weight decay.

        Args:
            name: as in `named_parameters`.
        Raises:
            InputError: if the kind is unknown; see `slbench.backbones.parameter_kinds`.
        """
        return parameter_kind(self, name)

    def decays(self, name: str, exempt: Collection[ParameterKind]) -> bool:
        """Return whether a parameter decays, by its kind; `exempt` are the kinds that the recipe exempts."""
        return self.parameter_kind(name) not in exempt

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        """Set the initial value of one parameter in place, or leave it as constructed.

        Args:
            module: owner of the parameter, in which it is called `name`.
            source: generator of this parameter only.
        """
        raise NotImplementedError


class SelfAttention(nn.Module):
    """Base class of self-attention with queries, keys and values by one linear map, over tokens as wide as its output.

    Its heads together have the width of a token, and each has its own softmax.
    """

    num_heads: int
    qkv: nn.Linear  # queries of all heads, then keys, then values
    project: nn.Linear


class Attention(SelfAttention):
    """Multi-head self-attention over tokens (b n d), with plain or LSA scores.

    Args:
        tokens: where the tokens lie in the image.
        qkv_bias: give queries, keys and values a bias; that of the keys always has gradient zero.
    Source: arXiv:1706.03762; heads * head_dim may differ from dim.
    """

    def __init__(
        self, dim: int, *, num_heads: int, head_dim: int, method: Method, tokens: TokenGrid, qkv_bias: bool = False
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * num_heads * head_dim, bias=qkv_bias)
        self.logits = AttentionLogits.from_method(method, num_heads=num_heads, head_dim=head_dim, tokens=tokens)
        self.project = nn.Linear(num_heads * head_dim, dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        mixed: Tensor = self.project(rearrange(attend(self.logits, q, k, v), "b h n d -> b n (h d)"))
        return mixed


class MLP(nn.Sequential):
    """Linear, GELU, linear, applied to each token."""

    def __init__(self, dim: int, hidden: int, *, bias: bool = True) -> None:
        super().__init__(nn.Linear(dim, hidden, bias=bias), nn.GELU(), nn.Linear(hidden, dim, bias=bias))


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a branch with probability `rate` per sample, else divide it by 1 - rate.

    Source: arXiv:1603.09382.
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
        output: Tensor = x + self.drop_path(self.mlp(self.mlp_norm(x)))
        return output


def rising_rates(rate: float, depth: int) -> list[float]:
    """Return rates of stochastic depth that rise linearly from 0 in the first block to `rate` in the last."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]


def with_class_token(token: Float[Tensor, "1 1 d"], patches: Float[Tensor, "b n d"]) -> Float[Tensor, "b n_plus_1 d"]:
    """Prepend the class token to the patches of each sample."""
    return torch.cat([token.expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1)


def require_image_size(images: Tensor, image_size: tuple[int, int]) -> None:
    """Raise ValueError unless the images (b c h w) have the network's image size (height, width)."""
    if tuple(images.shape[-2:]) != image_size:
        raise ValueError(f"images of {tuple(images.shape[-2:])} px; expected {image_size}")


def initialize(network: Backbone, *, seed: int) -> None:
    """Draw every parameter from its own random stream, named by seed and parameter.

    Two methods of an ablation so start with the same values of their common parameters.
    """
    with torch.no_grad():
        for path, module in network.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                source = generator(seed, "initial", f"{path}.{name}")
                network.init_parameter(module, name, parameter, source=source)


def init_xavier_normal(module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
    """Draw weights of linears and convolutions Xavier normal; biases are 0, norms stay (1, 0).

    A convolution is initialised as a linear map of its window, so that equivalent tokenizers start alike.
    """
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if name == "bias":
        nn.init.zeros_(parameter)
    else:
        nn.init.xavier_normal_(parameter.view(parameter.shape[0], -1), generator=source)


def init_truncated_normal(module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
    """Draw weights of linears and convolutions normal (std 0.02, cut at +-2); biases are 0, norms stay (1, 0)."""
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if name == "bias":
        nn.init.zeros_(parameter)
    else:
        nn.init.trunc_normal_(parameter, std=0.02, generator=source)


def init_kaiming_normal(module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
    """Draw weights of convolutions Kaiming normal (fan out), of linears normal (0.01); biases 0, norms stay (1, 0).

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
