"""Fields of a run by dotted path ("recipe.lr") and their values in studies and flags."""

import functools
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from slbench.backbones import BACKBONES, NAMED
from slbench.data.specs import DatasetSpec, Side
from slbench.errors import InputError
from slbench.methods import Method
from slbench.names import lookup
from slbench.recipes import ALIASES, Recipe
from slbench.study.file import Value
from slbench.text import choices, shown
from slbench.validation import Override

T = TypeVar("T")

ImageSize = Side | tuple[Side, Side]  # px: the side of a square, or [height, width]
DATASET_FIELDS = ["image_size", "fraction", "per_class", "split_seed"]  # the other fields identify the data


def under(head: str, settings: Mapping[str, Override]) -> dict[str, Override]:
    """Return the settings below a head: {"lr": ...} of {"recipe.lr": ...}."""
    return {path.partition(".")[2]: setting for path, setting in settings.items() if path.startswith(head + ".")}


def named(table: Mapping[str, T], entry: Override, kind: str) -> T:
    """Return `lookup` of an override; errors name its origin."""
    if not isinstance(entry.value, str):
        raise InputError(f"{entry.origin}: must be the name of a {kind} in quotes (got {shown(entry.value)})")
    return lookup(table, entry.value, kind, where=entry.origin)


def by_full_path(settings: Mapping[str, Override]) -> dict[str, Override]:
    """Return the settings with short names replaced by full paths."""
    return {ALIASES.get(path, path): setting for path, setting in settings.items()}


def flattened(nested: Mapping[str, Value], head: str = "") -> dict[str, Value]:
    """Return dotted paths of nested tables: {"recipe": {"lr": 1}} and {"recipe.lr": 1} are the same."""
    flat: dict[str, Value] = {}
    for key, value in nested.items():
        flat |= flattened(value, f"{head}{key}.") if isinstance(value, dict) else {head + key: value}
    return flat


@functools.cache
def field_types() -> Mapping[str, tuple[Any, ...]]:
    """Return the types of every field of a run that a study can set, by dotted path: several if backbones differ."""
    types: dict[str, tuple[Any, ...]] = {}
    for head, owner in [("recipe", Recipe), ("method", Method), *(("backbone", each) for each in backbone_specs())]:
        for name, kind in get_type_hints(owner, include_extras=True).items():
            if get_origin(kind) is not ClassVar and (head, name) != ("backbone", "name"):
                path = f"{head}.{name}"
                types[path] = (*types.get(path, ()), kind)
    of_data = get_type_hints(DatasetSpec, include_extras=True) | {"image_size": ImageSize}
    return types | {f"dataset.{name}": (of_data[name],) for name in DATASET_FIELDS}


def backbone_specs() -> list[type]:
    """Return the classes of the backbones' sizes, each once."""
    return list(dict.fromkeys(entry.spec for entry in BACKBONES.values()))


def dotted_paths() -> list[str]:
    """Return every field of a run that a study can set, as a dotted path."""
    return list(field_types())


def alternatives(kind: Any) -> Iterator[Any]:
    """Yield the plain types that an annotation allows, without constraints and None."""
    if get_origin(kind) is Annotated:
        yield from alternatives(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for argument in get_args(kind):
            yield from alternatives(argument)
    elif kind is not type(None):
        yield kind


def takes_list(path: str) -> bool:
    """Return whether a value of this path may be a list."""
    return any(are_tuples(path))


def is_list(path: str) -> bool:
    """Return whether every value of this path is a list."""
    kinds = are_tuples(path)
    return bool(kinds) and all(kinds)


def are_tuples(path: str) -> list[bool]:
    """Return for each type of a path whether it is a tuple, a list in TOML."""
    return [get_origin(each) is tuple for kind in field_types().get(path, ()) for each in alternatives(kind)]


def check_path(path: str, origin: str, *, known: list[str], arguments: bool = False) -> None:
    """Raise InputError, with a suggestion, unless the path is known.

    Args:
        arguments: whether a field of a backbone may be any keyword argument.
    """
    if path not in known and not (arguments and is_argument(path)):
        head = path.partition(".")[0] + "."
        known = [other for other in known if other.startswith(head)] or known
        raise InputError(f"{origin}: unknown key{choices(known, path)}")


def is_argument(path: str) -> bool:
    """Return whether a path may be a keyword argument of a model's constructor."""
    head, _, name = path.partition(".")
    return head == "backbone" and name.isidentifier() and name not in ("name", "label", "pretrained")


def has_arguments(grid: Mapping[str, Value]) -> bool:
    """Return whether a grid has a backbone that slbench does not ship: its constructor says which arguments it has."""
    values = [table.get("backbone", []) for table in [grid, *tables_of(grid.get("zip"))]]
    entries = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    return any(isinstance(name, str) and name not in NAMED for name in names)


def tables_of(value: Value) -> list[dict[str, Value]]:
    """Return the tables in a list of anything."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def quoted(path: str) -> str:
    """Return a key as TOML writes it."""
    return f'"{path}"' if "." in path else path


def axis_values(path: str, value: Value, origin: str) -> list[Value]:
    """Return the values of an axis under [grid]: the entries of a list, but a flat list is one value of a list field.

    Raises:
        InputError: for lists mixed with other values on a list field.
    """
    if not isinstance(value, list):
        return [value]
    if not is_list(path):
        return value
    lists = [isinstance(entry, list) for entry in value]
    if any(lists) and not all(lists):
        raise InputError(f"{origin}: must be a list of lists, one for each value (got {shown(value)})")
    return value if all(lists) else [value]
