"""Multiply-adds of a network, counted with fvcore."""

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import nn

from slbench.image_shape import ImageShape

# elementwise operations, not counted as multiply-adds by our convention
NORMS = {"layer_norm", "batch_norm", "group_norm", "instance_norm"}


@dataclass(frozen=True, kw_only=True)
class ComputeCost:
    """Cost of a forward pass of one image, and the operators that were not counted.

    MACs are the multiply-adds of matrix products, convolutions and attention products. fvcore's estimate of the
    elementwise operations of norms, which it adds by default, is separate.
    """

    macs: int
    norm_operations: int
    params: int
    uncounted_operators: dict[str, int]  # torch's operator name to the number of calls


def count(network: nn.Module, *, shape: ImageShape) -> ComputeCost:
    """Return the cost of a forward pass of one image, counted on a CPU copy of the network."""
    with warnings.catch_warnings():
        # fvcore imports torch.jit.script, deprecated in torch 2.14; tracing warns of shape checks, constant here
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        plain = copy.deepcopy(network).cpu().eval()
        analysis = FlopCountAnalysis(plain, torch.zeros(1, shape.channels, *shape.size))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = {name: int(number) for name, number in analysis.by_operator().items()}
        uncounted = {name.removeprefix("aten::"): number for name, number in analysis.unsupported_ops().items()}
    return ComputeCost(
        macs=sum(number for name, number in by_operator.items() if name not in NORMS),
        norm_operations=sum(number for name, number in by_operator.items() if name in NORMS),
        params=sum(parameter.numel() for parameter in network.parameters()),
        uncounted_operators=dict(sorted(uncounted.items())),
    )
