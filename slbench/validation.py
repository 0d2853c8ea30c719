"""Checking what a person wrote against a type, and saying in one line what is wrong with it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from slbench.errors import InputError
from slbench.names import suggestion

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

# Of plain dataclasses, which are checked when they are read from a file or become a part of a run. Pydantic and its
# schemas take longer to load than most commands to run, so nothing here imports it before something is checked.
STRICT: "ConfigDict" = {
    "extra": "forbid",
    "strict": True,
    "allow_inf_nan": False,
    "revalidate_instances": "always",
}


@dataclass(frozen=True)
class Override:
    """A value and where it was written, for the error line."""

    value: Any
    origin: str  # "studies/x.toml: set.recipe.lr"


WORDS = {  # what pydantic says, and what a writer of TOML understands
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
NOT_A_LABEL = {"", "nan", "-nan", "null", "n/a", "#n/a", "na", "#na", "<na>", "true", "false"}  # to pandas other things


@cache
def adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def checked(kind: Any, value: Any, *, where: str) -> Any:
    """The value as an object of the type: a pydantic model or dataclass, or an annotated plain type.

    Read by way of JSON and strictly: lists become tuples and 1 is a float, but no text is a number.

    Raises:
        InputError: `where: key: what is allowed, what was got`, for the first thing wrong.
    """
    from pydantic import ValidationError

    try:
        return adapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        keys, complaint = first_complaint(error, kind)
        raise InputError(": ".join([where, *([".".join(keys)] if keys else []), complaint])) from error


def changed(value: Any, changes: Mapping[str, Override], *, where: str) -> Any:
    """A dataclass value with some fields replaced, checked anew.

    Raises:
        InputError: naming where the offending field was written, or `where` if no single field is at fault.
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
        blamed = changes.get(keys[0]) if keys else next(iter(changes.values())) if len(changes) == 1 else None
        origin = blamed.origin if blamed else ": ".join([where, *keys[:1]])
        raise InputError(f"{origin}: {complaint}") from error


def first_complaint(error: "ValidationError", kind: Any) -> tuple[list[str], str]:
    """Keys that lead to the first thing wrong, and a line on it."""
    first = error.errors(include_url=False)[0]
    keys = [str(part) for part in first["loc"]]
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = field_names(kind, keys[:-1])
        return keys[:-1], f"unknown key '{keys[-1]}'{suggestion(keys[-1], known)}"
    if first["type"] == "value_error":
        return keys, str(first["ctx"]["error"])
    if first["type"] in ("missing", "missing_argument"):
        if keys[-1].isdigit():
            return keys[:-1], f"needs more than {keys[-1]} values, got {shown(first['input'])}"
        return keys, "is missing"
    message = str(first["msg"]).replace("Input should be", "must be")
    for pydantic_word, ours in WORDS.items():
        message = message.replace(pydantic_word, ours)
    return keys, f"{message[0].lower()}{message[1:]}, got {shown(first['input'])}"


def field_names(kind: Any, keys: Sequence[str]) -> list[str]:
    """Fields of a model or dataclass; of nested ones none is known by name."""
    if keys:
        return []
    if hasattr(kind, "model_fields"):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def shown(value: Any) -> str:
    """A value in an error line: as JSON, cut if long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def is_label(label: Any) -> bool:
    """Whether it is text that pandas will not take for something else."""
    try:
        float(label)
    except (TypeError, ValueError):
        return isinstance(label, str) and label.strip().lower() not in NOT_A_LABEL and label != "None"
    return False


def check_label(label: Any, origin: str) -> None:
    """Raise InputError unless this can name a row."""
    if not is_label(label):
        raise InputError(f"{origin}: must be a name in quotes that is no number or empty value, got {shown(label)}")
