"""Check user input against a type; report the first error in one line."""

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from slbench.errors import InputError
from slbench.names import suggestion
from slbench.text import plural

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

# Config of plain dataclasses, which are checked when read from a file or made part of a run. Pydantic takes longer to
# import than most commands take to run, so it is imported only when something is checked.
STRICT: "ConfigDict" = {
    "extra": "forbid",
    "strict": True,
    "allow_inf_nan": False,
    "revalidate_instances": "always",
}


@dataclass(frozen=True)
class Override:
    """A value and where it was written, for error messages."""

    value: Any
    origin: str  # "studies/x.toml: set.recipe.lr"


TOML_TERMS = {  # pydantic's terms in those of TOML
    "an object": "a table",
    "a valid array": "a list in brackets",
    "a valid tuple": "a list in brackets",
    "a valid list": "a list in brackets",
    "a valid string": "text in quotes",
    "a valid boolean": "true or false",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}
NOT_A_LABEL = {
    "",
    "nan",
    "-nan",
    "null",
    "n/a",
    "#n/a",
    "na",
    "#na",
    "<na>",
    "true",
    "false",
}  # pandas reads these as missing or boolean


@cache
def adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def checked(kind: Any, value: Any, *, where: str) -> Any:
    """Return the value as an object of the type: a pydantic model or dataclass, or an annotated plain type.

    Validates strictly through JSON: lists become tuples and 1 is a float, but text is never a number.

    Raises:
        InputError: `where: key: allowed values, got value`, for the first error.
    """
    from pydantic import ValidationError

    try:
        return adapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        keys, complaint = first_complaint(error, kind)
        raise InputError(": ".join([where, *([".".join(keys)] if keys else []), complaint])) from error


def changed(value: Any, changes: Mapping[str, Override], *, where: str) -> Any:
    """Return a dataclass value with some fields replaced, checked again.

    Raises:
        InputError: with the origin of the wrong field, or `where` if no single field is wrong.
    """
    if not changes:
        return value
    from pydantic import ValidationError

    content = dataclasses.asdict(value) | {field: setting.value for field, setting in changes.items()}
    kind: Any = type(value)
    try:
        return adapter(kind).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        keys, complaint = first_complaint(error, kind)
        culprit = changes.get(keys[0]) if keys else next(iter(changes.values())) if len(changes) == 1 else None
        origin = culprit.origin if culprit else ": ".join([where, *keys[:1]])
        raise InputError(f"{origin}: {complaint}") from error


def first_complaint(error: "ValidationError", kind: Any) -> tuple[list[str], str]:
    """Return the keys that lead to the first error, and its description."""
    first = error.errors(include_url=False)[0]
    keys = [str(part) for part in first["loc"]]
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = field_names(kind, keys[:-1])
        return keys[:-1], f"unknown key '{keys[-1]}'{suggestion(keys[-1], known)}"
    if first["type"] == "value_error":
        return keys, str(first["ctx"]["error"])
    if first["type"] in ("missing", "missing_argument"):
        if keys[-1].isdigit():
            return keys[:-1], f"needs more than {plural(int(keys[-1]), 'value')}, got {shown(first['input'])}"
        return keys, "is missing"
    message = str(first["msg"]).replace("Input should be", "must be")
    for pydantic_word, ours in TOML_TERMS.items():
        message = message.replace(pydantic_word, ours)
    return keys, f"{message[0].lower()}{message[1:]}, got {shown(first['input'])}"


def field_names(kind: Any, keys: Sequence[str]) -> list[str]:
    """Return the fields of a model or dataclass, or of the one below these keys; empty for other types."""
    for key in keys:
        kind = typing.get_type_hints(kind).get(key) if isinstance(kind, type) else None
    if hasattr(kind, "model_fields"):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def shown(value: Any) -> str:
    """Return a value as JSON for an error message, cut if long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def is_label(label: Any) -> bool:
    """Return whether this is text that pandas reads as text."""
    try:
        float(label)
    except (TypeError, ValueError):
        return isinstance(label, str) and label.strip().lower() not in NOT_A_LABEL and label != "None"
    return False


def check_label(label: Any, origin: str) -> None:
    """Raise InputError unless this can label a row of a table."""
    if not is_label(label):
        raise InputError(f"{origin}: must be a name in quotes, not a number or empty value, got {shown(label)}")
