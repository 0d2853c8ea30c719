"""Multiply-adds of a network, counted with fvcore."""

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

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


def attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the multiply-adds of fused attention: q k^T, and the weights times v, as if they were explicit."""
    from fvcore.nn.jit_handles import get_shape

    del outputs
    (*batch, queries, dim), (*_, keys, _), (*_, values) = (get_shape(value) for value in inputs[:3])
    return int(math.prod(batch) * queries * keys * (dim + values))


def count(network: nn.Module, *, shape: ImageShape) -> ComputeCost:
    """Return the cost of a forward pass of one image, counted on a CPU copy of the network."""
    with warnings.catch_warnings():
        # fvcore imports torch.jit.script, deprecated in torch 2.14; tracing warns of shape checks, constant here
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        plain = copy.deepcopy(network).cpu().eval()
        analysis = FlopCountAnalysis(plain, torch.zeros(1, shape.channels, *shape.size))
        analysis.set_op_handle("aten::scaled_dot_product_attention", attention_macs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = {name: int(number) for name, number in analysis.by_operator().items()}
        uncounted = {name.removeprefix("aten::"): number for name, number in analysis.unsupported_ops().items()}
    return ComputeCost(
        macs=sum(number for name, number in by_operator.items() if name not in NORMS),
        norm_operations=sum(number for name, number in by_operator.items() if name in NORMS),
        params=sum(parameter.numel() for parameter in network.parameters()),
        uncounted_operators=dict(sorted(uncounted.items())),
    )
