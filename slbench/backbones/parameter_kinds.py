"""Kinds of parameters, by which a recipe exempts them from weight decay."""

from typing import Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slbench.errors import InputError
from slbench.recipes import ParameterKind

Kind = ParameterKind | Literal["weight"]  # weights always decay
KINDS: tuple[Kind, ...] = ("weight", *get_args(ParameterKind))
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase)
MAPS = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.MultiheadAttention)  # their weights are of kind "weight"
BY_NAME: dict[str, Kind] = {  # names that mean the same in every network
    **dict.fromkeys(("bias", "in_proj_bias", "q_bias", "v_bias"), "bias"),
    **dict.fromkeys(
        (
            "positions",
            "pos_embed",
            "pos_embedding",
            "position_embedding",
            "position_embeddings",
            "positional_embedding",
            "absolute_pos_embed",
            "relative_bias",
            "relative_position_bias_table",
            "rel_pos_h",
            "rel_pos_w",
            "attention_biases",
        ),
        "position",
    ),
    **dict.fromkeys(("class_token", "cls_token", "class_embedding", "dist_token", "reg_token"), "class_token"),
    **dict.fromkeys(("temperature", "logit_scale"), "temperature"),
}


def parameter_kind(network: nn.Module, name: str) -> Kind:
    """Return the kind of a parameter: as its module declares in `parameter_kinds`, by type of module, or by name.

    The weight and bias of a norm are of kind "norm".

    Args:
        name: dotted, as in `named_parameters`.
    Raises:
        InputError: if the kind is unknown, since an unknown parameter would decay unnoticed.
    """
    path, _, own_name = name.rpartition(".")
    module = network.get_submodule(path)
    declared: dict[str, Kind] = getattr(module, "parameter_kinds", {})
    if own_name in declared:
        return declared[own_name]
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, nn.Embedding):  # such as positions: nn.Embedding under the name of what it holds
        own_name = path.rpartition(".")[2]
    if own_name in BY_NAME:
        return BY_NAME[own_name]
    if isinstance(module, MAPS) and own_name.endswith("weight"):
        return "weight"
    raise InputError(
        f"{type(network).__name__}: parameter '{name}' has no known kind; "
        f'add parameter_kinds = {{"{name.rpartition(".")[2]}": kind}} to {type(module).__name__}; '
        f"allowed: {', '.join(KINDS)}"
    )
