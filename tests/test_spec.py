import hashlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest

from slbench.data import DATASETS
from slbench.errors import InputError
from slbench.gpu_check import applies
from slbench.methods import METHODS
from slbench.numerics_versions import NUMERICS
from slbench.recipes import Recipe
from slbench.spec import digest
from tests.support import TINY, missing, runs, study

OTHER_RECIPE: dict[str, Any] = {  # a value different from that of recipe quick for every field
    "epochs": 7,
    "equal": "steps",
    "batch_size": 63,
    "lr": 0.004,
    "weight_decay": 0.06,
    "betas": (0.9, 0.99),
    "warmup_epochs": 0.25,
    "warmup_lr": 1e-5,
    "min_lr": 1e-5,
    "label_smoothing": 0.2,
    "drop_path": 0.2,
    "flip": False,
    "crop_padding": 3,
    "precision": "bf16",
    "drop_last": False,
    "repeats": 3,
    "passes": 2,
    "accumulate": 2,
    "no_decay": ("norm",),
    "clip_norm": 1.0,
    "ema_decay": 0.99,
    "auto_augment": "svhn",
    "augmentation": "darken@0123",
    "erase": 0.25,
    "erase_area": (0.02, 0.3),
    "erase_aspect": (0.3, 3.0),
    "erase_aspect_draw": "log-uniform",
    "erase_fill": "raw-mean",
    "cutmix": 0.25,
    "cutmix_alpha": 0.5,
    "mixup": 0.25,
    "mixup_alpha": 0.5,
    "compile": True,
}


def test_an_id_is_the_first_12_hex_digits_of_the_sha256_of_sorted_compact_json() -> None:
    assert digest({"b": [1, 2.5], "a": None}) == hashlib.sha256(b'{"a":null,"b":[1,2.5]}').hexdigest()[:12]


def test_a_fixed_run_has_this_id() -> None:
    """Computed from JSON, so that an added field or changed default fails."""
    content = {
        "backbone": {"name": "vit", "patch_size": 16, "dim": 8, "depth": 1, "num_heads": 1, "mlp_ratio": 2.0},
        "method": {
            "shift": "diagonal",
            "shift_ratio": 0.5,
            "shift_pixels": None,
            "window": 1,
            "layer_norm": True,
            "s_pool": "no",
            "learn_temperature": True,
            "temperature_per": "head",
            "initial_temperature": 1.0,
            "mask_self": True,
            "widened": False,
        },
        "dataset": {
            "name": "fashion-mnist-12k",
            "content": "arrays sha256:a082ceae9d48484c7f8182a158ab10457e8490c554cd7b6825083ebb09d48160",
            "image_size": [32, 32],
            "in_channels": 1,
            "num_classes": 10,
            "train_counts": 1000,
            "validation_counts": 100,
            "num_test": 2000,
            "mean": [0.21924],
            "std": [0.33242],
            "fraction": None,
            "per_class": None,
        },
        "recipe": {
            "epochs": 6,
            "batch_size": 64,
            "drop_last": True,
            "repeats": 1,
            "passes": 1,
            "accumulate": 1,
            "lr": 0.003,
            "weight_decay": 0.05,
            "no_decay": [],
            "betas": [0.9, 0.999],
            "clip_norm": None,
            "ema_decay": None,
            "warmup_epochs": 0.5,
            "warmup_lr": 1e-06,
            "min_lr": 1e-06,
            "label_smoothing": 0.1,
            "drop_path": 0.0,
            "flip": True,
            "crop_padding": 2,
            "auto_augment": "none",
            "erase": 0.0,
            "erase_area": [0.02, 0.4],
            "erase_aspect": [0.3, 3.3],
            "erase_aspect_draw": "uniform",
            "erase_fill": "mean",
            "cutmix": 0.0,
            "cutmix_alpha": 1.0,
            "mixup": 0.0,
            "mixup_alpha": 1.0,
            "precision": "auto",
        },
        "protocol": "holdout",
        "seed": 3,
        "numerics": {"trainer": 1, "augmentation": 1, "vit": 1, "spt": 1, "lsa": 1},
        "schema": 2,
    }
    (run,) = runs({"method": ["both"], "seed": [3]})
    assert json.loads(json.dumps(run.spec.as_dict())) == content
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert run.spec.run_id == hashlib.sha256(canonical.encode()).hexdigest()[:12] == "bdfea7c3d5c7"


def test_every_field_of_the_recipe_has_another_value_here() -> None:
    assert set(OTHER_RECIPE) == {field.name for field in fields(Recipe)}


@pytest.mark.parametrize("field", OTHER_RECIPE)
def test_another_value_of_any_recipe_field_is_another_run(field: str) -> None:
    (run,) = runs()
    other = replace(run.spec, recipe=replace(run.spec.recipe, **{field: OTHER_RECIPE[field]}))
    assert other.run_id != run.spec.run_id
    assert other.cell_id != run.spec.cell_id


@pytest.mark.parametrize(
    ("field", "value"), [("patch_size", 8), ("dim", 16), ("depth", 2), ("num_heads", 2), ("mlp_ratio", 3.0)]
)
def test_another_size_of_the_backbone_is_another_run(field: str, value: int) -> None:
    (run,) = runs()
    assert runs({"backbone": [{**TINY, field: value}]})[0].spec.run_id != run.spec.run_id


def test_every_shipped_method_has_another_id() -> None:
    listed = [run.labels for run in runs({"backbone": ["pit", "vit"], "method": list(METHODS)})]
    assert {labels.method for labels in listed} == set(METHODS)  # equal runs are listed once
    assert len(listed) == sum(applies(backbone, name) for backbone in ("pit", "vit") for name in METHODS)


def test_seeds_are_different_runs_of_one_cell() -> None:
    first, second = runs({"seed": [0, 1]})
    assert first.spec.run_id != second.spec.run_id
    assert first.spec.cell_id == second.spec.cell_id


def test_protocols_are_different_runs() -> None:
    assert len({run.spec.run_id for run in runs({"protocol": ["holdout", "full", "paper"]})}) == 3


def test_labels_do_not_change_a_run() -> None:
    (one,) = runs({"backbone": [{**TINY, "label": "One"}]})
    (other,) = runs({"backbone": [{**TINY, "label": "Other"}]})
    assert one.labels != other.labels
    assert one.spec == other.spec
    assert one.spec.run_id == other.spec.run_id


def test_a_default_and_its_explicit_value_are_one_run() -> None:
    (default,) = study({"grid": {"method": ["spt"]}}).runs
    written = {"name": "vit", "patch_size": 4}
    (explicit,) = study(
        {
            "grid": {"backbone": [written], "method": ["mine"]},
            "method": [{"name": "mine", "shift": "diagonal", "shift_ratio": 0.5, "layer_norm": True}],
        }
    ).runs
    assert default.spec.run_id == explicit.spec.run_id


def test_a_numerics_version_is_only_in_runs_that_use_the_part() -> None:
    parts = {run.labels.method: set(run.spec.numerics) for run in runs({"backbone": ["vit"], "method": list(METHODS)})}
    plain = {"trainer", "augmentation", "vit"}
    assert parts["none"] == parts["layer-norm-only"] == plain
    assert parts["spt"] == parts["spt-cardinal"] == plain | {"spt"}
    assert parts["lsa"] == parts["mask-only"] == parts["temperature-only"] == plain | {"lsa"}
    assert parts["both"] == plain | {"spt", "lsa"}
    assert parts["overlapping-conv"] == plain | {"window"}
    assert parts["mimetic-init"] == parts["impulse-init"] == plain | {"attention-init"}
    assert parts["gmm-mean-pool"] == plain | {"gaussians", "global-pool"}
    assert parts["cct"] == plain | {"conv-tokenizer", "global-pool"}
    assert parts["dw-mlp"] == plain | {"depthwise-mlp"}
    assert parts["registers"] == plain | {"registers"}
    (unaugmented,) = runs(set={"recipe": {"flip": False, "crop_padding": 0}})
    assert set(unaugmented.spec.numerics) == {"trainer", "vit"}


def test_raising_a_version_only_changes_runs_that_use_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {run.labels.method: run.spec.run_id for run in runs({"method": ["none", "spt", "lsa", "both"]})}
    monkeypatch.setitem(NUMERICS, "spt", NUMERICS["spt"] + 1)
    after = {run.labels.method: run.spec.run_id for run in runs({"method": ["none", "spt", "lsa", "both"]})}
    assert {name for name in before if before[name] != after[name]} == {"spt", "both"}
    monkeypatch.setitem(NUMERICS, "kernels", 2)  # not in ids at version 1
    again = {run.labels.method: run.spec.run_id for run in runs({"method": ["none", "spt", "lsa", "both"]})}
    assert all(again[name] != after[name] for name in after)


def test_holdout_trains_on_nine_tenths_in_full_batches() -> None:
    (holdout,) = runs(set={"recipe.batch_size": 512})
    (full,) = runs(set={"recipe.batch_size": 512}, protocol="full")
    assert (holdout.spec.num_images, holdout.spec.steps_per_epoch) == (9_000, 17)  # 9000 = 17 * 512 + 296
    assert (full.spec.num_images, full.spec.steps_per_epoch) == (10_000, 19)


def test_a_batch_above_the_training_images_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        runs(set={"recipe.batch_size": 9_001})
    assert not missing(str(caught.value), "batch_size", "9001", "9000", "fashion-mnist-12k")
    assert runs(set={"recipe.batch_size": 9_000})[0].spec.steps_per_epoch == 1


def test_the_id_depends_on_the_content_of_the_data() -> None:
    (run,) = runs()
    assert run.spec.dataset.content == DATASETS["fashion-mnist-12k"].spec.content
    other = replace(run.spec, dataset=replace(run.spec.dataset, content="arrays sha256:" + "0" * 64))
    assert other.run_id != run.spec.run_id
