"""Check that the state in a checkpoint is one of the run to be resumed, before anything is restored from it.

A checkpoint with a right checksum may still not fit: of another run, of a network with other layers, or not written by
slbench at all. The expected state is that of the run's own parts on the meta device, which holds no values.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slbench.backbones import meta_network
from slbench.backbones.layers import Backbone
from slbench.errors import InputError
from slbench.history import EpochMetrics
from slbench.machine import Code
from slbench.spec import RunSpec
from slbench.text import shown
from slbench.train.parts import TrainingParts, make_parts
from slbench.train.run_conditions import RunConditions
from slbench.train.temperatures import Scales, learned_layers
from slbench.validation import checked

STATE = {"run_id", "start", "seconds", "training", "selected"}
TRAINING = {"network", "optimizer", "averaged", "history", "temperatures", "done", "total", "seconds"}
MAY_LACK = {"selected", "temperatures", "device_name", "compiled", "not_compiled"}  # checkpoints of older versions
SET_LATER = {"lr", "fused", "foreach"}  # settings of an optimizer that each step or device chooses


def check_state(state: Any, spec: RunSpec) -> None:
    """Check the whole state in a checkpoint of a run.

    Args:
        state: anything that `torch.load` returns.
    Raises:
        InputError: `key: problem`, for the first value from which the run cannot be resumed.
    """
    check_keys(state, STATE, "state")
    if state["run_id"] != spec.run_id:
        raise InputError(f"run_id: of another run (got {shown(state['run_id'])}); allowed: {spec.run_id}")
    check_conditions(state["start"])
    check_seconds(state["seconds"], "seconds")
    network = meta_network(spec.backbone, spec.method, shape=spec.dataset.shape)
    parts = make_parts(spec, network)
    evaluated = network if parts.averaged is None else parts.averaged.module
    training, selected = state["training"], state.get("selected")
    check_keys(training, TRAINING, "training")
    check_progress(training, spec)
    check_tensors(training["network"], network.state_dict(), "network")
    check_tensors(training["averaged"], None if parts.averaged is None else parts.averaged.state_dict(), "averaged")
    check_optimizer(training["optimizer"], parts)
    check_temperatures(training.get("temperatures"), network, epochs=len(training["history"]))
    if selected is not None:
        check_tensors(selected, evaluated.state_dict(), "selected")


def check_conditions(start: Any) -> None:
    """Check the conditions at the start of a run, whose code is a record's as JSON."""
    check_keys(start, names_of(RunConditions), "start")
    if as_type(RunConditions, start, "start").threads < 1:
        raise InputError(f"start: threads: must be at least 1 (got {start['threads']})")
    try:
        Code.model_validate_json(start["code"])
    except ValueError as error:
        raise InputError("start: code: must be the code of a record as JSON") from error


def check_progress(state: Mapping[str, Any], spec: RunSpec) -> None:
    """Check the metrics of the finished epochs, and the steps of the current one."""
    check_history(state["history"], spec)
    last = 0 if len(state["history"]) == spec.recipe.epochs else spec.steps_per_epoch - 1
    if not 0 <= as_type(int, state["done"], "done") <= last:
        raise InputError(f"done: must be a number of steps from 0 to {last} (got {state['done']})")
    check_seconds(state["seconds"], "seconds")
    total = state["total"]
    is_on_mps = isinstance(total, Tensor) and total.dtype == torch.float32
    check_tensors(total, torch.zeros((), dtype=torch.float32 if is_on_mps else torch.float64), "total")


def check_history(history: Any, spec: RunSpec) -> None:
    """Check the metrics of epochs 1, 2, ... and at most as many as the recipe has."""
    rows = as_type(list[EpochMetrics], history, "history")
    for row in history:
        check_keys(row, names_of(EpochMetrics), "history")
    epochs = [row.epoch for row in rows]
    if epochs != list(range(1, len(epochs) + 1)) or len(epochs) > spec.recipe.epochs:
        raise InputError(f"history: epoch: must count from 1 to at most {spec.recipe.epochs} (got {shown(epochs)})")
    if any((row.val_top1 is None) != (spec.protocol != "holdout") for row in rows):
        raise InputError(f"history: val_top1: must fit the protocol '{spec.protocol}'")
    if not all(math.isfinite(value) for row in rows for value in dataclasses.astuple(row) if value is not None):
        raise InputError("history: must be finite numbers")


def check_optimizer(state: Any, parts: TrainingParts) -> None:
    """Check the state of an optimizer after at least one step.

    A setting that the saving version of torch had and this one lacks, or the reverse, is left to torch.
    """
    check_keys(state, {"state", "param_groups"}, "optimizer")
    expected = state_after_a_step(parts)
    groups = as_type(list[dict[str, Any]], state["param_groups"], "optimizer: param_groups")
    if [group.get("params") for group in groups] != [group["params"] for group in expected["param_groups"]]:
        raise InputError("optimizer: param_groups: of other parameters")
    for got, group in zip(state["param_groups"], expected["param_groups"], strict=True):
        for key in sorted((group.keys() & got.keys()) - SET_LATER):
            if repr(got[key]) != repr(group[key]):
                raise InputError(f"optimizer: {key}: must be {shown(group[key])} (got {shown(got[key])})")
    check_tensors(state["state"], expected["state"], "optimizer")


def state_after_a_step(parts: TrainingParts) -> dict[str, Any]:
    """Return the state of an optimizer on the meta device after a step, which creates its tensors."""
    for group in parts.optimizer.param_groups:
        group["fused"] = False  # not for the meta device
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    parts.optimizer.step()
    return parts.optimizer.state_dict()


def check_temperatures(state: Any, network: Backbone, *, epochs: int) -> None:
    """Check the temperatures before training and after each epoch; None and epochs of an older version are right."""
    if state is None:
        return
    check_keys(state, {"epochs", "scales"}, "temperatures")
    known = as_type(list[int], state["epochs"], "temperatures: epochs")
    layers = learned_layers(network)
    if known != sorted(set(known)) or not set(known) <= set(range(epochs + 1 if layers else 1)):
        raise InputError(f"temperatures: epochs: must be of {epochs} finished epochs (got {shown(known)})")
    scales = as_type(list[Scales], state["scales"], "temperatures: scales")
    heads = [len(layer.heads) for layer in layers]
    if len(scales) != len(known) or any([len(layer) for layer in epoch] != heads for epoch in scales):
        raise InputError("temperatures: scales: must be a number for each epoch, layer and head")


def check_tensors(got: Any, expected: Any, where: str) -> None:
    """Check a tree of dicts and tensors: the same keys, shapes and types, and finite values."""
    if isinstance(expected, Mapping):
        check_keys(got, set(expected), where)
        for key, value in expected.items():
            check_tensors(got[key], value, f"{where}: {key}")
        return
    if described(got) != described(expected):
        raise InputError(f"{where}: must be {described(expected)} (got {described(got)})")
    if isinstance(got, Tensor) and not got.isfinite().all():
        raise InputError(f"{where}: has values that are not finite")


def described(value: Any) -> str:
    """Return the type and shape of a tensor with values on the CPU, or what else it is."""
    if not isinstance(value, Tensor):
        return shown(value)
    if value.layout != torch.strided or value.is_quantized:
        return f"a {value.layout} tensor"
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def check_keys(got: Any, expected: set[Any], where: str) -> None:
    """Check that this is a dict with these keys, but for those that older versions did not write."""
    if not isinstance(got, dict):
        raise InputError(f"{where}: must be a dict (got {type(got).__name__})")
    for problem, keys in (("unknown key", got.keys() - expected), ("lacks key", expected - got.keys() - MAY_LACK)):
        if keys:
            raise InputError(f"{where}: {problem} {shown(min(keys, key=str))}")


def check_seconds(value: Any, where: str) -> None:
    if not 0 <= as_type(float, value, where) < math.inf:
        raise InputError(f"{where}: must be a finite number of at least 0 (got {value})")


def as_type(kind: Any, value: Any, where: str) -> Any:
    """Return a value as an object of a type. Raises InputError if it is none, also if it is no JSON."""
    try:
        json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: must be plain numbers and texts") from error
    return checked(kind, value, where=where)


def names_of(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}
