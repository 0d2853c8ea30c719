"""The learned temperatures of a network, layer by layer and head by head, over the epochs of a run."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slbench.methods.lsa import AttentionLogits

# What the parts of a network in which attention lives are called, in the order of depth within each backbone.
NOUNS = {"token_transformers": "soft split", "blocks": "block", "class_blocks": "class block"}
COLUMNS = ("epoch", "layer", "depth", "head", "scale", "temperature", "sqrt_dk", "multiple")
Scales = list[list[float]]  # of each layer in order of depth, of each of its heads


@dataclass(frozen=True)
class TemperatureLayer:
    """An attention whose temperature is learned."""

    name: str  # "block 3", "class block 1", "soft split 1"
    depth: int  # counted from 1 over the whole network
    parameter: str  # the scale, as the network's state names it
    heads: tuple[int, ...]  # counted from 1; 0 alone where one scale is that of all heads
    sqrt_dk: float  # what divides the scores in plain attention
    initial: float  # the scale before training


def learned_layers(network: nn.Module) -> tuple[TemperatureLayer, ...]:
    """The attentions with a learned temperature, in order of depth; none in a row that learns none."""
    layers, counts = [], Counter[str]()
    for path, module in network.named_modules():
        if not isinstance(module, AttentionLogits):
            continue
        part = path.partition(".")[0]
        noun = NOUNS.get(part, part)
        counts[noun] += 1
        if module.scale is None:
            continue
        layers.append(
            TemperatureLayer(
                name=f"{noun} {counts[noun]}",
                depth=counts.total(),
                parameter=f"{path}.scale",
                heads=tuple(range(1, len(module.scale) + 1)) if module.per_head else (0,),
                sqrt_dk=module.scale_dim**0.5,
                initial=torch.tensor(module.initial_scale, dtype=torch.float32).item(),
            )
        )
    return tuple(layers)


def read_scales(layers: Sequence[TemperatureLayer], state: Mapping[str, Tensor]) -> Scales:
    """The scale of every head of these layers, from a network's state. Waits for its device once."""
    if not layers:
        return []
    entries = torch.cat([state[layer.parameter].detach().float() for layer in layers]).tolist()
    starts = iter(entries)
    return [[next(starts) for _ in layer.heads] for layer in layers]


def initial_scales(layers: Sequence[TemperatureLayer]) -> Scales:
    """The scales of an untrained network."""
    return [[layer.initial] * len(layer.heads) for layer in layers]


class TemperatureHistory:
    """What the scales of a network were before the first epoch (0) and after each one since.

    Args:
        network: that is evaluated: the average of the weights if there is one.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.layers = learned_layers(network)
        self.by_epoch: dict[int, Scales] = {0: initial_scales(self.layers)}

    def add(self, epoch: int) -> None:
        """Note what the scales are now."""
        if self.layers:
            parameters = dict(self.network.named_parameters())
            self.by_epoch[epoch] = read_scales(self.layers, parameters)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs."""
        return {"epochs": list(self.by_epoch), "scales": list(self.by_epoch.values())}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a state. From one that was written before there was such a thing, epochs stay unknown."""
        if state is not None:
            self.by_epoch = dict(zip(state["epochs"], state["scales"], strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each known epoch, layer and head."""
        return [row for epoch, scales in self.by_epoch.items() for row in rows_of(self.layers, scales, epoch=epoch)]


def rows_of(layers: Sequence[TemperatureLayer], scales: Scales, *, epoch: int) -> list[dict[str, Any]]:
    """The columns of temperatures.csv. What multiplies the scores is the scale; the temperature is 1 / scale.

    A scale of 0 has an infinite temperature, one below 0 a negative temperature.
    """
    rows = []
    for layer, of_heads in zip(layers, scales, strict=True):
        for head, scale in zip(layer.heads, of_heads, strict=True):
            temperature = 1 / scale if scale else float("inf")
            values = (epoch, layer.name, layer.depth, head, scale, temperature, layer.sqrt_dk)
            rows.append(dict(zip(COLUMNS, (*values, temperature / layer.sqrt_dk), strict=True)))
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as the content of temperatures.csv, every number to its last bit."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
