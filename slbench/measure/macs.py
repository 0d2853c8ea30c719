"""Multiply-adds of a network, counted with fvcore."""

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import nn

# Work on single elements, and movements of data: not multiply-adds of a product, by our convention.
NORMS = {"layer_norm", "batch_norm", "group_norm", "instance_norm"}


@dataclass(frozen=True, kw_only=True)
class ComputeCost:
    """What one image costs, and what was not counted.

    MACs are the multiply-adds of matrix products, convolutions and attention products. fvcore adds
    norms by default; here they stand apart, as its estimate of their elementwise operations.
    """

    macs: int
    norm_operations: int
    params: int
    uncounted_operators: dict[str, int]  # torch's operator name to the number of calls


def count(network: nn.Module, *, image_size: tuple[int, int], in_channels: int) -> ComputeCost:
    """The cost of a forward pass for one image (height, width) on a copy of the network on the CPU."""
    with warnings.catch_warnings():
        # fvcore imports torch.jit.script, which torch 2.14 announces as deprecated; tracing warns of
        # shape checks, which are Python numbers here.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        plain = copy.deepcopy(network).cpu().eval()
        analysis = FlopCountAnalysis(plain, torch.zeros(1, in_channels, *image_size))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = {name: int(number) for name, number in analysis.by_operator().items()}
        uncounted = {name.removeprefix("aten::"): number for name, number in analysis.unsupported_ops().items()}
    return ComputeCost(
        macs=sum(number for name, number in by_operator.items() if name not in NORMS),
        norm_operations=sum(number for name, number in by_operator.items() if name in NORMS),
        params=sum(parameter.numel() for parameter in network.parameters()),
        uncounted_operators=dict(sorted(uncounted.items())),
    )
