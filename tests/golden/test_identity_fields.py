"""New fields of specs keep the ids of older runs.

`identity_fields.txt` lists the fields that are part of an id at every value. It grows only by the first fields of a new
backbone: a later field is added to IDENTITY_DEFAULTS of slbench/spec.py with the value that describes older runs.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from slbench.backbones.specs import BACKBONES, BackboneSpec
from slbench.methods import Method
from slbench.recipes import Recipe
from slbench.spec import IDENTITY_DEFAULTS, RunSpec
from slbench.study.paths import alternatives
from tests.support import runs

LISTED = (Path(__file__).parent / "identity_fields.txt").read_text(encoding="utf-8").split()
STRICT = ConfigDict(extra="forbid", strict=True)


def classes() -> list[type]:
    """Return RunSpec and the classes of its parts."""
    parts: list[Any] = [RunSpec, *(entry.spec for entry in BACKBONES.values())]
    for kind in get_type_hints(RunSpec, include_extras=True).values():
        parts += [part for part in alternatives(kind) if dataclasses.is_dataclass(part) and part is not BackboneSpec]
    return list(dict.fromkeys(parts))


def unlisted(owners: Iterable[type], defaults: Mapping[type, Mapping[str, Any]]) -> list[str]:
    """Return the line to add to IDENTITY_DEFAULTS for each field that is neither listed nor there."""
    return [
        "IDENTITY_DEFAULTS of slbench/spec.py (identity_defaults of the spec of a backbone) lacks the new field: add "
        f'{owner.__name__}: {{"{field.name}": {field.default!r}}}, '
        f"if {field.default!r} describes all older runs; otherwise change the default"
        for owner in owners
        for field in dataclasses.fields(owner)
        if f"{owner.__name__}.{field.name}" not in LISTED and field.name not in defaults.get(owner, {})
    ]


def test_every_field_of_an_id_is_listed_or_has_a_default() -> None:
    missing = unlisted(classes(), IDENTITY_DEFAULTS)
    assert not missing, "\n".join(missing)


def test_every_listed_field_exists_and_is_always_in_the_id() -> None:
    existing = {f"{owner.__name__}.{field.name}" for owner in classes() for field in dataclasses.fields(owner)}
    gone = [line for line in LISTED if line not in existing]
    assert not gone, f"stored ids and records have these fields: {gone}; keep them"
    left_out = {f"{owner.__name__}.{field}" for owner, fields in IDENTITY_DEFAULTS.items() for field in fields}
    assert not left_out & set(LISTED)
    assert set(IDENTITY_DEFAULTS) == set(classes())


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LaterMethod(Method):
    """A method with one more field."""

    gate: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LaterRecipe(Recipe):
    """A recipe with one more field."""

    lookahead: int | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SpecOfMethod(RunSpec):
    """A run with a LaterMethod."""

    method: LaterMethod


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SpecOfRecipe(RunSpec):
    """A run with a LaterRecipe."""

    recipe: LaterRecipe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LaterSpec(RunSpec):
    """A run with one more field."""

    ensemble: int = 1


def later(part: str, owner: Any, spec: RunSpec, **changes: Any) -> RunSpec:
    """Return a run with one more field in one of its parts."""
    fields = vars_of(spec)
    kind: Any = {"method": SpecOfMethod, "recipe": SpecOfRecipe, "": LaterSpec}[part]
    if part:
        fields[part] = owner(**vars_of(fields[part]), **changes)
    spec_with_field: RunSpec = kind(**fields, **({} if part else changes))
    return spec_with_field


def vars_of(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


@pytest.mark.parametrize(
    ("part", "owner", "field", "before", "other"),
    [
        ("method", LaterMethod, "gate", False, True),
        ("recipe", LaterRecipe, "lookahead", None, 5),
        ("", LaterSpec, "ensemble", 1, 3),
    ],
    ids=["Method", "Recipe", "RunSpec"],
)
def test_a_new_field_with_an_entry_keeps_the_id_and_without_one_is_named(
    monkeypatch: pytest.MonkeyPatch, part: str, owner: type, field: str, before: Any, other: Any
) -> None:
    spec = runs({"method": ["both"]})[0].spec
    assert later(part, owner, spec).run_id != spec.run_id
    (line,) = [line for line in unlisted([owner], IDENTITY_DEFAULTS) if f'"{field}"' in line]
    assert f'add {owner.__name__}: {{"{field}": {before!r}}}' in line
    inherited = IDENTITY_DEFAULTS[owner.__bases__[0]]
    monkeypatch.setitem(IDENTITY_DEFAULTS, owner, {**inherited, field: before})
    assert later(part, owner, spec).run_id == spec.run_id
    assert later(part, owner, spec).cell_id == spec.cell_id
    assert later(part, owner, spec, **{field: other}).run_id != spec.run_id
