"""Fields of a run by dotted path, "recipe.lr", and what a person wrote for them."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from slbench.backbones import BACKBONES
from slbench.errors import InputError
from slbench.methods import Method
from slbench.names import lookup, suggestion
from slbench.recipes import Recipe
from slbench.study.file import Value
from slbench.validation import Override, shown

T = TypeVar("T")

ALIASES = {"precision": "recipe.precision"}
LIST_FIELDS = {"recipe.betas", "backbone.dims", "backbone.depths"}  # whose value is a list
EITHER_FIELDS = {  # whose value is a list or a number
    "backbone.num_heads",  # a list on a backbone with stages
    "dataset.image_size",  # [height, width], or the side of a square
}
DATASET_FIELDS = ["image_size", "fraction", "per_class"]  # the others say what the data are


def under(head: str, settings: Mapping[str, Override]) -> dict[str, Override]:
    """The settings below a head: {"lr": ...} of {"recipe.lr": ...}."""
    return {path.partition(".")[2]: setting for path, setting in settings.items() if path.startswith(head + ".")}


def named(table: Mapping[str, T], entry: Override, kind: str) -> T:
    """`lookup` for a value that a person wrote somewhere."""
    if not isinstance(entry.value, str):
        raise InputError(f"{entry.origin}: must be the name of a {kind} in quotes, got {shown(entry.value)}")
    try:
        return lookup(table, entry.value, kind)
    except InputError as error:
        raise InputError(f"{entry.origin}: {error}") from error


def by_full_path(settings: Mapping[str, Override]) -> dict[str, Override]:
    """The settings under the paths that short names stand for."""
    return {ALIASES.get(path, path): setting for path, setting in settings.items()}


def flattened(nested: Mapping[str, Value], head: str = "") -> dict[str, Value]:
    """Dotted paths of nested tables: {"recipe": {"lr": 1}} and {"recipe.lr": 1} are the same."""
    flat: dict[str, Value] = {}
    for key, value in nested.items():
        flat |= flattened(value, f"{head}{key}.") if isinstance(value, dict) else {head + key: value}
    return flat


def dotted_paths() -> list[str]:
    """Every field of a run that a study can set, as a dotted path."""
    backbone_fields = {field.name: None for entry in BACKBONES.values() for field in dataclasses.fields(entry.spec)}
    fields = {
        "recipe": [field.name for field in dataclasses.fields(Recipe)],
        "method": [field.name for field in dataclasses.fields(Method)],
        "backbone": [name for name in backbone_fields if name != "name"],
        "dataset": DATASET_FIELDS,
    }
    return [f"{head}.{name}" for head, names in fields.items() for name in names]


def check_path(path: str, origin: str, *, known: list[str]) -> None:
    """Raise InputError, with a suggestion, unless the path is known."""
    if path not in known:
        head = path.partition(".")[0] + "."
        known = [other for other in known if other.startswith(head)] or known
        raise InputError(f"{origin}: unknown key '{path}'{suggestion(path, known)}")


def quoted(path: str) -> str:
    """A key as TOML writes it."""
    return f'"{path}"' if "." in path else path


def is_axis(path: str, value: Value) -> bool:
    """Whether a list under [grid] holds the values of an axis, and is not one value itself."""
    if path in LIST_FIELDS:
        return isinstance(value, list) and all(isinstance(entry, list) for entry in value)
    return isinstance(value, list)
