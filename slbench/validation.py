"""Check user input against a type; report the first error in one line."""

import dataclasses
import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from slbench.errors import InputError
from slbench.text import choices, plural, shown

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
BOOLEANS = {"False": "false", "True": "true"}
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
        InputError: `where: key: problem (got value); allowed: values`, for the first error.
    """
    from pydantic import ValidationError

    try:
        return adapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        keys, complaint = first_complaint(error, kind)
        raise InputError(f"{where}{joined(keys)}: {complaint}") from error


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
        culprit = changes.get(str(keys[0])) if keys else next(iter(changes.values())) if len(changes) == 1 else None
        origin = culprit.origin + joined(keys[1:]) if culprit else where + joined(keys)
        raise InputError(f"{origin}: {complaint}") from error


def joined(keys: Sequence[str | int]) -> str:
    """Return the keys after a file or flag: ": report.columns[0]", or "[0]" for an entry of the flag's own list."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.replace(".", ": ", 1) if text.startswith(".") else text


def first_complaint(error: "ValidationError", kind: Any) -> tuple[Sequence[str | int], str]:
    """Return the keys that lead to the first error, and its description."""
    first, *others = error.errors(include_url=False)
    keys, limits = first["loc"], first.get("ctx", {})
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return keys, f"unknown key{choices(field_names(kind, keys[:-1]), str(keys[-1]))}"
    if first["type"] == "value_error":
        return keys, str(limits["error"])
    if first["type"] == "json_invalid":
        return keys, f"not valid JSON: {limits['error']}"
    got = f"(got {shown(first['input'])})"
    if first["type"] in ("missing", "missing_argument"):
        if not isinstance(keys[-1], int):
            return keys, "is missing"
        short = sum(other["type"] == "missing" and other["loc"][:-1] == keys[:-1] for other in others)
        return keys[:-1], f"must have {plural(keys[-1] + 1 + short, 'value')} {got}"
    if first["type"] == "literal_error":
        names = [BOOLEANS.get(name, name.strip("'")) for name in re.split(r", | or ", limits["expected"])]
        return keys, f"unknown value {got}{choices(names, str(first['input']))}"
    if first["type"] in ("too_long", "too_short"):
        bound, word = ("max_length", "most") if first["type"] == "too_long" else ("min_length", "least")
        return keys, f"must have at {word} {plural(limits[bound], 'value')} {got}"
    return keys, f"{in_toml_terms(first['msg'])} {got}"


def in_toml_terms(message: str) -> str:
    """Return a message of pydantic in the terms of TOML: "must be a table"."""
    message = message.replace("Input should be", "must be")
    for pydantic_word, ours in TOML_TERMS.items():
        message = message.replace(pydantic_word, ours)
    return message[:1].lower() + message[1:]


def field_names(kind: Any, keys: Sequence[str | int]) -> list[str]:
    """Return the fields of a model or dataclass, or of the one below these keys; empty for other types."""
    for key in keys:
        kind = typing.get_type_hints(kind).get(str(key)) if isinstance(kind, type) else None
        kind = next((part for part in typing.get_args(kind) if hasattr(part, "model_fields")), kind)
    if hasattr(kind, "model_fields"):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


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
        raise InputError(f"{origin}: must be a name in quotes, not a number or empty value (got {shown(label)})")
