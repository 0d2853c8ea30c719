"""Untrained finished runs: random weights with matching records on small own images."""

import hashlib
from pathlib import Path
from typing import Any

from safetensors.torch import save

from slbench.analysis.run_selection import FinishedRun
from slbench.backbones import build
from slbench.data import load
from slbench.data.splits import content_hash
from slbench.gpu_check import perturbed
from slbench.record import WEIGHTS, Keep
from slbench.store import Store
from slbench.study import Study, StudyRun, make_study
from tests.data.made import made_arrays, write_npz
from tests.support import make_record

SMALL: dict[str, dict[str, Any]] = {  # on images of 16 x 24 px
    "vit": {"name": "vit", "label": "ViT-x", "patch_size": 8, "dim": 6, "depth": 2, "num_heads": 3},
    "swin": {
        "name": "swin", "label": "Swin-x", "patch_size": 2, "dims": [6, 12], "depths": [2, 2], "num_heads": [3, 2]
    },
    "cait": {
        "name": "cait", "label": "CaiT-x", "patch_size": 8, "dim": 7, "depth": 1, "class_depth": 1, "num_heads": 3,
        "head_dim": 5,
    },
    "resnet56": {"name": "resnet56", "label": "ResNet-x", "width": 3, "blocks_per_stage": 1},
}  # fmt: skip


def birds(folder: Path, *, seed: int = 5) -> Path:
    """Return an npz file of 67 training and 13 test images in three classes."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_npz(folder / "birds.npz", made_arrays(train=67, test=13, shape=(16, 24, 3), seed=seed))


def study_of(data: Path, *, seeds: int = 1, **content: Any) -> Study:
    """Return a study of a small ViT with methods none and both on the images of a file, with overrides."""
    grid = {"backbone": [SMALL["vit"]], "method": ["none", "both"], "dataset": [f"npz:{data}"]}
    grid |= {"seed": list(range(seeds)), **content.pop("grid", {})}
    settings = {"recipe.batch_size": 8, "recipe.epochs": 1, "recipe.precision": "fp32", **content.pop("set", {})}
    return make_study({"grid": grid, "set": settings, **content}, name="birds", where="birds.toml")


def finish(store: Store, run: StudyRun, *, keep: Keep = "last", **changes: Any) -> FinishedRun:
    """Store a finished run without training."""
    spec, labels = run.spec, run.labels.model_copy(update={"keep": keep})
    network = build(
        spec.backbone, spec.method, shape=spec.dataset.shape, drop_path=0.0, seed=spec.seed,
    )  # fmt: skip
    content = save(dict(perturbed(network).state_dict()))
    digest = hashlib.sha256(content).hexdigest()
    kept = {"weights_sha256": digest, "selected_weights_sha256": digest if keep == "best" else None}
    data = {"data_sha256": content_hash(load(spec.dataset, labels.data))}
    folder = store.begin(spec, labels)
    if keep != "none":
        (folder / WEIGHTS[keep]).write_bytes(content)
    record = make_record(StudyRun(spec, labels), **{**kept, **data, **changes})
    store.finish(folder, record)
    return FinishedRun(record, folder)
