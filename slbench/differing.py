"""Fields in which runs differ."""

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar

from slbench.text import distinct

K = TypeVar("K", bound=Hashable)
MAX_FIELDS = 3  # in a title; with more, the key is used


def flat(nested: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Return nested keys joined by underscores; lists become JSON text, which CSV readers do not parse as numbers."""
    columns: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            columns |= flat(value, f"{head}{key}_")
        elif isinstance(value, list | tuple):
            columns[head + key] = json.dumps(value)
        else:
            columns[head + key] = value
    return columns


def setting_text(path: str, value: Any) -> str:
    """Return a setting as runs are told apart by it: "lr=0.003".

    Args:
        path: of the field of a run, dotted ("recipe.lr") or flat ("recipe_lr").
    """
    name = re.sub(r"^(recipe|method|backbone|dataset)[._]", "", path)
    if isinstance(value, Mapping):
        value = value.get("label", value.get("name", value))
    text = f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    return f"{name}={text}"


def settings_of_group(group: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return for each of several runs of one name the settings by which they differ; empty if those are too many.

    Args:
        group: flat specs without seed.
    """
    items = list(group)
    names = differing(items)
    if len(names) > MAX_FIELDS:
        return [()] * len(items)
    return [tuple(setting_text(name, item.get(name)) for name in names) for item in items]


def differing(items: Iterable[Mapping[str, Any]], *, optional: tuple[str, ...] = ()) -> list[str]:
    """Return the names of the fields in which items differ, in order of first occurrence.

    Args:
        items: flat fields; a missing field counts as None.
        optional: prefixes of names for which None and NaN equal any value.
    """
    items = list(items)
    names = distinct(name for item in items for name in item)
    return [name for name in names if len(texts(name, items, optional)) > 1]


def texts(name: str, items: Iterable[Mapping[str, Any]], optional: tuple[str, ...]) -> set[str]:
    """Return the different values of one field as text."""
    values = [item.get(name) for item in items]
    if name.startswith(optional):
        values = [value for value in values if value is not None and value == value]
    return {str(value) for value in values}


def distinguished(titles: Mapping[K, str], fields: Mapping[K, Mapping[str, Any]]) -> dict[K, str]:
    """Return titles, with the differing fields added where titles are equal: "ViT (recipe_lr 0.003)"."""
    groups = defaultdict[str, list[K]](list)
    for key, title in titles.items():
        groups[title].append(key)
    return {key: title + distinction(key, groups[title], fields) for key, title in titles.items()}


def distinction(key: K, group: Iterable[K], fields: Mapping[K, Mapping[str, Any]]) -> str:
    """Return the fields in which a key differs from the rest of its group, in parentheses; "" for a single key."""
    names = differing(fields[member] for member in group)
    if len(names) > MAX_FIELDS:
        return f" ({key})"
    return f" ({', '.join(f'{name} {fields[key].get(name)}' for name in names)})" if names else ""
