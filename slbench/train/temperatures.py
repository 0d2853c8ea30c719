"""Learned temperatures of a network by layer and head over the epochs of a run."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slbench.backbones.layers import Backbone

COLUMNS = ("epoch", "layer", "depth", "head", "scale", "temperature", "sqrt_dk", "multiple")
Scales = list[list[float]]  # [layer by depth][head]


@dataclass(frozen=True)
class TemperatureLayer:
    """An attention layer with a learned temperature."""

    name: str  # "block 3", "class block 1", "soft split 1"
    depth: int  # counted from 1 over the whole network
    parameter: str  # name of the scale in the state dict
    heads: tuple[int, ...]  # counted from 1; (0,) if all heads share one scale
    sqrt_dk: float  # divisor of the scores in plain attention
    initial: float  # the scale before training


def learned_layers(network: Backbone) -> tuple[TemperatureLayer, ...]:
    """Return the attention layers with a learned temperature, in order of depth; stages are counted through."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    layers, counts = [], Counter[str]()
    for layer in network.attention_layers():
        counts[layer.noun] += 1
        logits = layer.logits
        if logits.scale is None:
            continue
        layers.append(
            TemperatureLayer(
                name=f"{layer.noun} {counts[layer.noun]}",
                depth=counts.total(),
                parameter=names[logits.scale],
                heads=tuple(range(1, len(logits.scale) + 1)) if logits.per_head else (0,),
                sqrt_dk=logits.scale_dim**0.5,
                initial=torch.tensor(logits.initial_scale, dtype=torch.float32).item(),
            )
        )
    return tuple(layers)


def read_scales(layers: Sequence[TemperatureLayer], state: Mapping[str, Tensor]) -> Scales:
    """Return the scale of every head from a network's state. Waits for its device once."""
    if not layers:
        return []
    entries = torch.cat([state[layer.parameter].detach().float() for layer in layers]).tolist()
    starts = iter(entries)
    return [[next(starts) for _ in layer.heads] for layer in layers]


def initial_scales(layers: Sequence[TemperatureLayer]) -> Scales:
    """Return the scales of an untrained network."""
    return [[layer.initial] * len(layer.heads) for layer in layers]


class TemperatureHistory:
    """Scales of a network before training (epoch 0) and after each epoch.

    Args:
        network: the evaluated one, averaged if the recipe has an average.
    """

    def __init__(self, network: Backbone) -> None:
        self.network = network
        self.layers = learned_layers(network)
        self.by_epoch: dict[int, Scales] = {0: initial_scales(self.layers)}

    def add(self, epoch: int) -> None:
        """Record the current scales."""
        if self.layers:
            parameters = dict(self.network.named_parameters())
            self.by_epoch[epoch] = read_scales(self.layers, parameters)

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`."""
        return {"epochs": list(self.by_epoch), "scales": list(self.by_epoch.values())}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Resume from a state; None, from an older version, leaves its epochs unknown."""
        if state is not None:
            self.by_epoch = dict(zip(state["epochs"], state["scales"], strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each known epoch, layer and head."""
        return [row for epoch, scales in self.by_epoch.items() for row in rows_of(self.layers, scales, epoch=epoch)]


def rows_of(layers: Sequence[TemperatureLayer], scales: Scales, *, epoch: int) -> list[dict[str, Any]]:
    """Return the rows of temperatures.csv for one epoch.

    The scale multiplies the scores; the temperature is 1 / scale, infinite for 0 and negative for negative scales.
    """
    rows = []
    for layer, head_scales in zip(layers, scales, strict=True):
        for head, scale in zip(layer.heads, head_scales, strict=True):
            temperature = 1 / scale if scale else float("inf")
            values = (epoch, layer.name, layer.depth, head, scale, temperature, layer.sqrt_dk)
            rows.append(dict(zip(COLUMNS, (*values, temperature / layer.sqrt_dk), strict=True)))
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as the content of temperatures.csv, with numbers in full precision."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
