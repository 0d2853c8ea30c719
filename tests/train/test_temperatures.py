"""temperatures.csv: the learned temperature of every layer and head, before training and after each epoch."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from slbench.backbones import build, default_spec, resolve_network
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.store import Store
from slbench.train.checkpoint import Checkpoints
from slbench.train.temperatures import (
    TemperatureHistory,
    TemperatureLayer,
    initial_scales,
    learned_layers,
    read_scales,
    rows_of,
)
from tests.contracts.small import small
from tests.train.helpers import LABELS, SPEC, Calm, Killed, die_at, execute, run, tiny

EPOCHS, LAYERS, HEADS = 2, 2, 3  # of SPEC


def table(store: Store) -> list[dict[str, str]]:
    with (store.folder(SPEC, LABELS) / "temperatures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def layers_of(backbone: str, method: Method, size: int) -> tuple[TemperatureLayer, ...]:
    shape = ImageShape((size, size), 3, 7)
    spec, method = resolve_network(default_spec(backbone), method, shape=shape)
    network = build(spec, method, shape=shape, drop_path=0.0, seed=0)
    layers = learned_layers(network)
    assert read_scales(layers, network.state_dict()) == initial_scales(layers)
    return layers


def test_a_scale_of_a_quarter_is_a_temperature_of_four() -> None:
    layer = TemperatureLayer(name="block 1", depth=1, parameter="x", heads=(1, 2, 3), sqrt_dk=4.0, initial=0.25)
    rows = rows_of([layer], [[0.25, -0.5, 0.0]], epoch=5)
    assert [(row["temperature"], row["multiple"]) for row in rows] == [
        (4.0, 1.0),
        (-2.0, -0.5),
        (float("inf"), float("inf")),
    ]
    assert [(row["epoch"], row["layer"], row["depth"], row["head"]) for row in rows] == [
        (5, "block 1", 1, 1),
        (5, "block 1", 1, 2),
        (5, "block 1", 1, 3),
    ]


def test_vit_starts_at_the_square_root_of_its_16_channels_a_head() -> None:
    layers = layers_of("vit", METHODS["lsa"], 32)
    assert [layer.name for layer in layers] == [f"block {number}" for number in range(1, 10)]
    assert {layer.sqrt_dk for layer in layers} == {4.0}
    assert {layer.initial for layer in layers} == {0.25}
    assert {layer.heads for layer in layers} == {tuple(range(1, 13))}


def test_t2ts_soft_splits_come_first_and_have_their_own_d_k() -> None:
    layers = layers_of("t2t", METHODS["both"], 64)
    assert [layer.name for layer in layers[:3]] == ["soft split 1", "soft split 2", "block 1"]
    assert [layer.sqrt_dk**2 for layer in layers[:3]] == pytest.approx([135, 576, 64])
    assert [layer.depth for layer in layers] == list(range(1, 15))


def test_caits_class_attention_comes_last_under_its_own_name() -> None:
    layers = layers_of("cait", METHODS["lsa"], 32)
    assert [(layer.name, layer.depth) for layer in layers[23:]] == [
        ("block 24", 24),
        ("class block 1", 25),
        ("class block 2", 26),
    ]


@pytest.mark.parametrize(("backbone", "count"), [("pit", 12), ("swin", 12)])
def test_pooling_between_stages_is_no_layer(backbone: str, count: int) -> None:
    assert [layer.name for layer in layers_of(backbone, METHODS["both"], 32)] == [
        f"block {number}" for number in range(1, count + 1)
    ]


def test_one_temperature_for_a_layer_is_head_0_and_starts_where_it_is_told() -> None:
    row = Method(learn_temperature=True, temperature_per="layer", initial_temperature=2.0)
    layers = layers_of("vit", row, 32)
    assert {(layer.heads, layer.initial, layer.sqrt_dk) for layer in layers} == {((0,), 0.125, 4.0)}


def test_the_file_has_the_start_and_every_epoch_of_the_weights_that_are_evaluated(
    calm: Calm,
) -> None:
    rows = table(calm[1])
    assert [(row["epoch"], row["depth"], row["head"]) for row in rows] == [
        (str(epoch), str(depth), str(head))
        for epoch in range(EPOCHS + 1)
        for depth in range(1, LAYERS + 1)
        for head in range(1, HEADS + 1)
    ]
    assert {float(row["multiple"]) for row in rows if row["epoch"] == "0"} == {1.0}
    weights = load_file(calm[1].folder(SPEC, LABELS) / "weights.safetensors")
    kept = [weights[f"blocks.{block}.attention.logits.scale"] for block in range(LAYERS)]
    assert [float(row["scale"]) for row in rows if row["epoch"] == str(EPOCHS)] == torch.cat(kept).tolist()
    assert len({row["scale"] for row in rows}) == 1 + EPOCHS * LAYERS * HEADS


@pytest.mark.slow
@pytest.mark.parametrize("step", range(18))
def test_a_run_that_was_killed_at_any_step_leaves_the_same_file(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Some steps, and deaths between epochs, are in test_resume.py."""
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(Killed):
            execute(store)
    execute(store)
    assert table(store) == table(calm[1])


def test_after_each_epoch_the_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, seen, right = Store(tmp_path), [], Checkpoints.save

    def look(self: Checkpoints, state: dict[str, Any]) -> None:
        if state["training"]["done"] == 0:
            seen.append(max(int(row["epoch"]) for row in table(store)))
        right(self, state)

    monkeypatch.setattr(Checkpoints, "save", look)
    execute(store, every=1e9)
    assert seen == [1, 2]


def test_from_a_checkpoint_of_an_older_version_epochs_are_known_from_there_on(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        die_at(patch, 11)
        with pytest.raises(Killed):
            execute(store)
    checkpoints = Checkpoints(store.folder(SPEC, LABELS))
    state = checkpoints.load()
    assert state is not None
    del state["training"]["temperatures"]
    checkpoints.save(state)
    execute(store)
    assert table(store) == [row for row in table(calm[1]) if row["epoch"] != "1"]


def test_a_row_that_learns_no_temperature_has_no_such_file(tmp_path: Path) -> None:
    recipe = dataclasses.replace(SPEC.recipe, epochs=1)
    _, folder = run(tiny("spt", recipe=recipe), tmp_path)
    assert not (folder / "temperatures.csv").exists()


def test_a_network_without_attention_has_no_layers() -> None:
    history = TemperatureHistory(small("resnet56", "none"))
    history.add(1)
    assert history.rows() == []
