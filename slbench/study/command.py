"""The command that trains one run: flags of `slbench train` that resolve to the same id."""

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from slbench.backbones import BACKBONES, default_spec
from slbench.backbones.specs import ForeignSpec
from slbench.errors import SlbenchError
from slbench.methods import METHODS, Method
from slbench.recipes import RECIPES, Recipe
from slbench.record import Labels
from slbench.spec import RunSpec
from slbench.study import Flags, make_study
from slbench.study.paths import DATASET_FIELDS

ABSENT = object()


def train_command(spec: RunSpec, labels: Labels) -> str | None:
    """Return `slbench train ...` for a run; None if flags of this version make no run of its id.

    That is so for models and plugins in files of users, for data that have changed or are not here, and if numerics
    have changed since.
    """
    for grid, recipe, changes in candidates(spec, labels):
        flags = Flags(grid=grid, set=changes, recipe=recipe, protocol=spec.protocol)
        try:
            (run,) = make_study({}, name="ad-hoc", where="command line", flags=flags).runs
        except (SlbenchError, ValueError):
            continue
        if run.spec.run_id == spec.run_id:
            return written(grid, recipe, spec.protocol, changes)
    return None


def candidates(spec: RunSpec, labels: Labels) -> Iterator[tuple[dict[str, list[Any]], str, dict[str, Any]]]:
    """Yield (grid, recipe, settings) that may resolve to a spec, those with few settings first."""
    backbone, sizes = backbone_settings(spec)
    recipe, of_recipe = closest_recipe(spec.recipe)
    data = {f"dataset.{name}": value for name, value in dataset_settings(spec).items()}
    fixed = {path: value for path, value in data.items() if path != "dataset.image_size"}  # most sets have one size
    settings = [(fixed, method) for method in method_settings(spec.method, labels.method)]
    settings += [(data, method) for method in method_settings(spec.method, labels.method)]
    for of_data, (method, of_method) in settings:
        grid: dict[str, list[Any]] = {
            "backbone": [backbone], "method": [method], "dataset": [labels.data or spec.dataset.name],
            "seed": [spec.seed],
        }  # fmt: skip
        yield grid, recipe, {**sizes, **of_method, **of_data, **of_recipe}


def backbone_settings(spec: RunSpec) -> tuple[str, dict[str, Any]]:
    """Return the name of a backbone, and its sizes other than the default as settings."""
    if isinstance(spec.backbone, ForeignSpec):
        return spec.backbone.name, {f"backbone.{key}": value for key, value in spec.backbone.keywords.items()}
    if spec.backbone.name not in BACKBONES:
        return spec.backbone.name, {}
    return spec.backbone.name, differences("backbone", spec.backbone, default_spec(spec.backbone.name))


def method_settings(method: Method, label: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names of methods, and fields to change: first the label's, then shipped ones by number of changes."""
    names = [name for name in (label,) if name in METHODS]
    names += sorted(METHODS, key=lambda name: len(differences("method", method, METHODS[name])))[:3]
    for name in dict.fromkeys(names):
        yield name, {}
        yield name, differences("method", method, METHODS[name])


def closest_recipe(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return the recipe that differs in the fewest fields, and these fields as settings."""
    changes = {name: differences("recipe", recipe, known) for name, known in RECIPES.items()}
    name = min(changes, key=lambda name: len(changes[name]))
    return name, changes[name]


def dataset_settings(spec: RunSpec) -> dict[str, Any]:
    """Return the fields of a data set that a study can set, where they are set; the size, if that may vary."""
    values = {name: getattr(spec.dataset, name) for name in DATASET_FIELDS}
    values["image_size"] = list(spec.dataset.image_size)
    return {name: value for name, value in values.items() if value not in (None, 0)}


def differences(head: str, value: Any, default: Any) -> dict[str, Any]:
    """Return the fields of a value that differ from those of another, by dotted path."""
    ours, theirs = dataclasses.asdict(value), dataclasses.asdict(default)
    return {
        f"{head}.{name}": list(field) if isinstance(field, tuple) else field
        for name, field in ours.items()
        if field is not None and field != theirs.get(name, ABSENT)
    }


def written(grid: Mapping[str, list[Any]], recipe: str, protocol: str, changes: Mapping[str, Any]) -> str:
    """Return flags as a shell reads them."""
    words = ["slbench", "train"]
    for name in ("backbone", "method", "dataset", "seed"):
        words += [f"--{name}", str(grid[name][0])]
    words += ["--recipe", recipe, "--protocol", protocol]
    for path, value in changes.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["--set", f"{path}={text}"]
    return shlex.join(words)
