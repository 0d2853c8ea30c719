"""Networks of finished runs for use elsewhere: loaded into Python, or exported into a folder.

DIR/model.safetensors   weights, the file of the run byte by byte
DIR/config.json         spec of the run, from which the network is built again; preprocessing, classes, versions
DIR/example.py          classify an image
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from slbench import __version__, user_files
from slbench.analysis.load import network_with, read_hashed, tensors_in, weights_hash
from slbench.analysis.run_selection import FinishedRun, Requirements, named_run
from slbench.data import DataConfig, class_names
from slbench.data.images.preprocess import Preprocess
from slbench.errors import InputError, unreadable
from slbench.files import (
    DISK_FULL,
    dump_json,
    nearest_existing,
    read_regular,
    replace_folder,
    temporary_beside,
    write_atomic,
)
from slbench.record import Name, Sha256, first_wrong
from slbench.spec import RunSpec
from slbench.store import Store
from slbench.text import shown

WEIGHTS, CONFIG, EXAMPLE = "model.safetensors", "config.json", "example.py"
MAX_CONFIG_BYTES = 2**28
SNIPPET = """\
import sys

import slbench
import torch
from PIL import Image

model = slbench.load_model(sys.path[0])  # the folder of this file; in eval mode, on the CPU
with torch.no_grad():
    scores = model(model.preprocess(Image.open(sys.argv[1]))[None]).softmax(dim=1)[0]
print(model.class_names[scores.argmax()], f"{scores.max():.3f}")
"""


class ModelConfig(BaseModel):
    """Content of config.json.

    Raises:
        ValidationError: if the parts contradict each other.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    model: Name  # title, such as "SL-ViT"
    dataset: Name
    run_id: str
    weights_sha256: Sha256
    epoch: Name  # of the weights, as text
    test_top1: Annotated[float, Field(ge=0, le=100)]  # in %, of these weights
    input_size: tuple[int, int, int]  # (channels, height, width)
    mean: tuple[float, ...]  # by channel, of pixels in [0, 1]
    std: tuple[float, ...]
    class_names: tuple[str, ...]  # by label; numbers where the names are unknown
    versions: dict[str, str]  # of the training; "exported_by" is the slbench that wrote the folder
    spec: RunSpec

    @model_validator(mode="after")
    def check(self) -> Self:
        data = self.spec.dataset
        expected = {
            "run_id": self.spec.run_id,
            "input_size": (data.in_channels, *data.image_size),
            "mean": data.mean,
            "std": data.std,
        }
        for name, value in expected.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} contradicts the spec (got {shown(getattr(self, name))}); allowed: {value}")
        if len(self.class_names) != data.num_classes:
            raise ValueError(f"class_names must be {data.num_classes} (got {len(self.class_names)})")
        return self

    @classmethod
    def of(cls, run: FinishedRun, weights: Path, data: DataConfig | None = None) -> "ModelConfig":
        """Return what describes a run with a file of its weights.

        Args:
            data: where names of classes of own data are looked up; None: these have numbers.
        """
        record, dataset = run.record, run.record.spec.dataset
        names = class_names(dataset, record.labels.data, data)
        return cls(
            model=run.model,
            dataset=record.labels.dataset,
            run_id=record.run_id,
            weights_sha256=weights_hash(record, weights) or "",
            epoch=run.epoch,
            test_top1=run.test_top1,
            input_size=(dataset.in_channels, *dataset.image_size),
            mean=dataset.mean,
            std=dataset.std,
            class_names=names or tuple(map(str, range(dataset.num_classes))),
            versions={**record.code.versions, "python": record.code.python, "exported_by": __version__},
            spec=record.spec,
        )


def export_model(run: FinishedRun, folder: Path, *, data: DataConfig | None = None) -> ModelConfig:
    """Write the network of a run into a new folder, all of it or nothing.

    Args:
        run: with weights.
        data: where the names of the classes of own data are looked up; None: these have numbers.
    Raises:
        InputError: if the folder exists or cannot be created, or the weights are damaged or do not fit.
    """
    check_target(folder)
    path = run.weights
    assert path is not None
    content = read_hashed(path, weights_hash(run.record, path), of="the record of the run")
    network_with(tensors_in(content, path), run.record.spec, path)
    config = ModelConfig.of(run, path, data)
    settings = dump_json(config.model_dump(mode="json"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(folder) as temporary:
            temporary.mkdir()
            try:
                for name, part in ((WEIGHTS, content), (CONFIG, settings), (EXAMPLE, SNIPPET.encode())):
                    write_atomic(temporary / name, part)
                replace_folder(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise InputError(f"{folder}: cannot be written: {error.strerror}; choose another") from error
    return config


def check_target(folder: Path) -> None:
    """Raise InputError unless a folder can be created."""
    try:
        existing = nearest_existing(folder.absolute())
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror}; choose another") from error
    if existing == folder.absolute():
        raise InputError(f"{folder}: exists; choose a folder that does not")
    if not existing.is_dir():
        raise InputError(f"{folder}: must be a folder, but {existing} is a file; choose another")


def load_model(model: str | Path, *, store: str | Path = "results", plugins: Iterable[str | Path] = ()) -> nn.Module:
    """Return a network in eval mode; see `slbench.load_model`."""
    for plugin in plugins:
        user_files.add(Path(plugin))
    if os.path.lexists(Path(model) / CONFIG):
        config, weights = read_config(Path(model)), Path(model) / WEIGHTS
        content = read_hashed(weights, config.weights_sha256, of=CONFIG)
    else:
        if not Path(model).is_dir():
            Store(Path(store)).check(writing=False)
        run = named_run(Store(Path(store)), str(model), Requirements(attention=False))
        assert run.weights is not None, "a requirement"
        config, weights = ModelConfig.of(run, run.weights), run.weights
        content = read_hashed(weights, config.weights_sha256, of="the record of the run")
    network: Any = network_with(tensors_in(content, weights), config.spec, weights)
    network.preprocess = Preprocess(config.spec.dataset.image_size, config.mean, config.std)
    network.class_names = config.class_names
    return cast("nn.Module", network)


def read_config(folder: Path) -> ModelConfig:
    """Return the config.json of an exported network. Raises InputError with the file and its first error."""
    path = folder / CONFIG
    try:
        return ModelConfig.model_validate_json(read_regular(path, max_bytes=MAX_CONFIG_BYTES))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValidationError as error:
        raise InputError(f"{path}: damaged or of another version: {first_wrong(error)}") from error
