"""Networks of vit-pytorch and timm with the sizes of slbench's, and as many multiply-adds within 3 %.

Their widths, depths and heads are those of slbench's default sizes for 32 px; where their layers cost more or less,
the width of their MLPs is chosen so that the multiply-adds agree.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from slbench.backbones import default_spec
from slbench.image_shape import ImageShape
from slbench.measure.macs import count
from slbench.measure.network import Network
from slbench.methods import METHODS

SHAPE = ImageShape((32, 32), 3, 10)
Sizes = dict[str, Any]
VIT_PYTORCH: Sizes = {"image_size": 32, "num_classes": 10}
TIMM: Sizes = {"img_size": 32, "num_classes": 10}
OUR_RATIO = 2.0  # hidden width of an MLP / width of a token
TOLERANCE = 0.03  # of multiply-adds
Build = Callable[[float], nn.Module]  # of the width of an MLP, as a multiple of the width of a token


@dataclass(frozen=True)
class Peer:
    """A network of another package, and the method of slbench's network that it is matched with."""

    name: str
    build: Build
    method: str = "none"


def ours(backbone: str, method: str) -> nn.Module:
    """Return a network of slbench at its default size."""
    return Network.resolve(default_spec(backbone), METHODS[method], shape=SHAPE).build()


def peers(backbone: str) -> Iterator[Peer]:
    """Yield the peers of a backbone."""
    return {
        "vit": peers_of_vit,
        "cait": peers_of_cait,
        "t2t": peers_of_t2t,
        "pit": peers_of_pit,
        "swin": peers_of_swin,
    }[backbone]()


def peers_of_vit() -> Iterator[Peer]:
    import vit_pytorch
    import vit_pytorch.vit_for_small_dataset
    from timm.models.vision_transformer import VisionTransformer

    sizes: Sizes = {"dim": 192, "depth": 9, "heads": 12, "dim_head": 16, "patch_size": 4, **VIT_PYTORCH}
    small = vit_pytorch.vit_for_small_dataset.ViT
    yield Peer("vit-pytorch ViT", lambda ratio: vit_pytorch.ViT(**sizes, mlp_dim=round(192 * ratio)))
    yield Peer("vit-pytorch vit_for_small_dataset", lambda ratio: small(**sizes, mlp_dim=round(192 * ratio)), "both")
    own: Sizes = {"embed_dim": 192, "depth": 9, "num_heads": 12, "patch_size": 4, **TIMM}
    yield Peer("timm ViT", lambda ratio: VisionTransformer(**own, mlp_ratio=ratio))


def peers_of_cait() -> Iterator[Peer]:
    from timm.models.cait import Cait
    from vit_pytorch.cait import CaiT

    sizes: Sizes = {"dim": 192, "depth": 24, "cls_depth": 2, "heads": 4, "dim_head": 64, "patch_size": 4, **VIT_PYTORCH}
    yield Peer("vit-pytorch CaiT", lambda ratio: CaiT(**sizes, mlp_dim=round(192 * ratio)))
    own: Sizes = {"embed_dim": 192, "depth": 24, "num_heads": 4, "patch_size": 4, **TIMM}
    yield Peer("timm CaiT", lambda ratio: Cait(**own, mlp_ratio=ratio))


def peers_of_t2t() -> Iterator[Peer]:
    from vit_pytorch.t2t import T2TViT

    sizes: Sizes = {"dim": 256, "depth": 12, "heads": 4, "dim_head": 64, **VIT_PYTORCH}
    splits = ((3, 2), (3, 2))
    yield Peer("vit-pytorch T2T", lambda ratio: T2TViT(**sizes, t2t_layers=splits, mlp_dim=round(256 * ratio)))


def peers_of_pit() -> Iterator[Peer]:
    from timm.models.pit import PoolingVisionTransformer

    sizes: Sizes = {"base_dims": (48, 48, 48), "depth": (2, 6, 4), "heads": (2, 4, 8), **TIMM}
    patch: Sizes = {"patch_size": 4, "stride": 2}
    yield Peer("timm PiT", lambda ratio: PoolingVisionTransformer(**sizes, **patch, mlp_ratio=ratio))


def peers_of_swin() -> Iterator[Peer]:
    from timm.models.swin_transformer import SwinTransformer

    sizes: Sizes = {"embed_dim": 96, "depths": (2, 6, 4), "num_heads": (3, 6, 12), "patch_size": 2, "window_size": 4}
    yield Peer("timm Swin", lambda ratio: SwinTransformer(**sizes, **TIMM, mlp_ratio=ratio))


def matched(build: Build, macs: int) -> nn.Module | None:
    """Return the peer whose multiply-adds are within 3 % of a number, at the MLP width that comes closest; or None."""
    low, high, ratio = 0.05, 16.0, OUR_RATIO
    for _ in range(12):
        found = macs_of(build(ratio))
        if abs(found / macs - 1) <= TOLERANCE / 10:
            break
        low, high = (ratio, high) if found < macs else (low, ratio)
        ratio = (low + high) / 2
    network = build(ratio)
    return network if abs(macs_of(network) / macs - 1) <= TOLERANCE else None


def macs_of(network: nn.Module, *, shape: ImageShape = SHAPE) -> int:
    """Return the multiply-adds of one image."""
    return count(network, shape=shape).macs


def without_fused_attention(network: nn.Module) -> nn.Module:
    """Switch timm's fused attention off."""
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010 (not a declared attribute)
    return network
