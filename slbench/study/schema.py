"""The keys of a study file: as a JSON schema (draft 7, which editors of TOML read), and as lines of documentation.

Types, limits and defaults come from the classes that check a study, descriptions from the comments beside their fields.
Conditions on several keys ("keep = 'best' needs protocol 'holdout'") are checked when a study is loaded, not here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from slbench.backbones import BACKBONES, NAMED, PRESETS, default_spec
from slbench.data import DATASETS
from slbench.data.specs import DatasetSpec
from slbench.engine_settings import RaySettings, SlurmSettings
from slbench.methods import METHODS, Method
from slbench.recipes import ALIASES, RECIPES, Recipe
from slbench.stats.contrast import Contrast
from slbench.stats.settings import Statistics
from slbench.study.axes import DEFAULT_AXES
from slbench.study.descriptions import field_descriptions
from slbench.study.file import StudyFile
from slbench.study.paths import backbone_specs, field_types
from slbench.study.resolve import Seed
from slbench.study.runs import SeedRule
from slbench.table_spec import TableSpec, column_names
from slbench.validation import adapter

Schema = dict[str, Any]

AXES = {  # of a grid, besides fields of a run by dotted path
    "backbone": "name of a backbone, or a table with its name, a label and the sizes to change",
    "method": "name of a method: one that slbench ships, or one of a [[method]] table",
    "dataset": "name of a data set, or npz:PATH or folder:PATH for your own",
    "seed": "decides initial values, order and augmentation",
    "recipe": "name of a recipe, in place of the key above [grid]",
    "protocol": "in place of the key above [grid]",
}
FOREIGN_NAME: Schema = {
    "description": "a model of another package or of your own: timm:MODEL, torchvision:MODEL or FILE.py:CLASS",
    "type": "string",
    "pattern": "^.+:[A-Za-z_][A-Za-z_0-9]*$",
}
PLUGIN_NAME: Schema = {"description": "a name that a plugin registers", "type": "string", "minLength": 1}
ARGUMENTS: Schema = {  # of the constructor of a model of another package or of your own
    r"^backbone\.(?!(name|label|pretrained)$)[A-Za-z_][A-Za-z_0-9]*$": {}
}
FOREIGN_TABLE: Schema = {  # its other keys are keyword arguments of the constructor
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"anyOf": [FOREIGN_NAME, PLUGIN_NAME], "not": {"enum": list(NAMED)}},
        "label": {"description": "what tables call it", "type": "string", "minLength": 1},
        "pretrained": {"description": "file of initial weights", "type": "string", "pattern": "\\.safetensors$"},
    },
}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
PLURALS = {"integer": "integers", "number": "numbers", "text": "texts"}


@dataclass(frozen=True)
class Key:
    """One key of a study file, for documentation."""

    path: str  # "keep", "seeds.min", "recipe.lr"
    type: str  # "integer", "list of 2 numbers"
    allowed: str  # "above 0", "'none', 'diagonal'"; empty: any value of the type
    default: str  # "64 (quick), 128 (paper)"; empty: none
    description: str


def study_schema() -> Schema:
    """Return the JSON schema of a study file, with the fields of a run as definitions by dotted path."""
    of_file = table_of(StudyFile)["properties"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "slbench study",
        "description": "A grid of training runs and how they are reported",
        "type": "object",
        "additionalProperties": False,
        "properties": of_file
        | {
            "recipe": of_file["recipe"] | {"enum": list(RECIPES)},
            "precision": reference("precision"),
            "report": report_table(),
            "seeds": table_of(SeedRule, required=list(SeedRule.model_fields)),
            "grid": with_arguments(
                closed({path: or_list(path) for path in axes()} | {"zip": zip_tables()}, of_file["grid"])
            ),
            "set": set_table(of_file["set"]),
            "method": {**of_file["method"], "items": method_table()},
            "exclude": {**of_file["exclude"], "items": with_arguments(closed({path: {} for path in axes()}))},
            "contrast": {**of_file["contrast"], "items": table_of(Contrast)},
            "statistics": closed(table_of(Statistics)["properties"], of_file["statistics"]),
            "engine": closed({"slurm": table_of(SlurmSettings), "ray": table_of(RaySettings)}, of_file["engine"]),
        },
        "definitions": named_axes() | fields(),
    }


def study_keys() -> list[Key]:
    """Return every key of a study file in the order of the file: those of its tables by dotted path.

    A field of a run ("recipe.lr") is listed once; it is written under [set], or as an axis under [grid].
    """
    schema = study_schema()["properties"]
    tables = ("report", "seeds", "statistics")
    top = [name for name in schema if name not in ("grid", "set", "method", "exclude", "contrast", "engine", *tables)]
    keys = [described(name, fields()["recipe.precision"] if name == "precision" else schema[name]) for name in top]
    keys += [described(f"{name}.{key}", each) for name in tables for key, each in schema[name]["properties"].items()]
    keys += [described(f"grid.{name}", each) for name, each in named_axes().items()]
    keys += [described(path, each, default=default_text(path)) for path, each in fields().items()]
    keys += [described(f"contrast.{key}", each) for key, each in schema["contrast"]["items"]["properties"].items()]
    for engine, table in schema["engine"]["properties"].items():
        keys += [described(f"engine.{engine}.{key}", each) for key, each in table["properties"].items()]
    return [*keys, described("method.name", method_table()["properties"]["name"]), ZIP, EXCLUDE]


ZIP_TEXT = "tables of axes that vary together, by lists of one length"
ZIP = Key("grid.zip", "list of tables", "axes of the grid but seed", "", ZIP_TEXT)
EXCLUDE = Key("exclude", "list of tables", "axes of the grid", "", field_descriptions(StudyFile)["exclude"])


ENUM_TYPES = {str: "text", bool: "true or false", int: "integer"}


@cache
def fields() -> dict[str, Schema]:
    """Return the schema of every field of a run that a study can set, by dotted path."""
    return {
        path: {"description": field_text(path), **any_of(value_schema(kind) for kind in types)}
        for path, types in field_types().items()
    }


def field_text(path: str) -> str:
    """Return the description of a field of a run, by backbone where they differ."""
    head, _, name = path.partition(".")
    owners: dict[str, type] = {"recipe": Recipe, "method": Method, "dataset": DatasetSpec}
    if head != "backbone":
        return field_descriptions(owners[head])[name]
    specs: dict[str, Any] = {backbone: entry.spec for backbone, entry in BACKBONES.items()}
    texts = {backbone: field_descriptions(spec).get(name, "") for backbone, spec in specs.items()}
    return by_value(
        {owner: text.removesuffix(".") for owner, text in texts.items() if text}, form="{owners}: {value}", between="; "
    )


def axes() -> list[str]:
    """Return the keys that a grid can have."""
    return [*named_axes(), *ALIASES, *fields()]


def zip_tables() -> Schema:
    """Return the schema of tied axes."""
    lists = {path: {"type": "array", "items": reference(path), "minItems": 1} for path in axes() if path != "seed"}
    return {"description": ZIP_TEXT, "type": "array", "items": with_arguments(closed(lists)) | {"minProperties": 2}}


def reference(path: str) -> Schema:
    """Return a reference to the definition of one value of an axis."""
    return {"$ref": f"#/definitions/{ALIASES.get(path, path)}"}


def named_axes() -> dict[str, Schema]:
    """Return the schema of one value of each axis without a dotted path."""
    values: dict[str, Schema] = {
        "backbone": any_of(
            [{"enum": list(NAMED)}, FOREIGN_NAME, PLUGIN_NAME, *map(backbone_table, backbone_specs()), FOREIGN_TABLE]
        ),
        "method": any_of([{"enum": list(METHODS)}, {"type": "string", "minLength": 1}]),
        "dataset": any_of([{"enum": list(DATASETS)}, {"type": "string", "minLength": 1}]),
        "seed": value_schema(Seed),
        "recipe": {"type": "string", "enum": list(RECIPES)},
        "protocol": value_schema(StudyFile)["properties"]["protocol"],
    }
    return {name: {"description": AXES[name], **value} for name, value in values.items()}


def report_table() -> Schema:
    table = table_of(TableSpec)
    table["properties"]["columns"]["items"] = {"type": "string", "enum": column_names()}
    return table


def set_table(about: Schema) -> Schema:
    """Return the schema of [set], where recipe.lr and "recipe.lr" are the same."""
    nested: dict[str, dict[str, Schema]] = {}
    for path in fields():
        head, _, name = path.partition(".")
        nested.setdefault(head, {})[name] = reference(path)
    quoted = {path: reference(path) for path in [*fields(), *ALIASES, "protocol"]}
    tables = {head: closed(each) for head, each in nested.items()}
    del tables["backbone"]["additionalProperties"]  # arguments of a constructor
    return with_arguments(closed(tables | quoted, about))


def with_arguments(table: Schema) -> Schema:
    """Return the schema of a table that takes arguments of constructors too, as "backbone.embed_dim"."""
    return table | {"patternProperties": ARGUMENTS}


def method_table() -> Schema:
    """Return the schema of a [[method]] table."""
    name = {"description": "what the grid calls it", "type": "string", "minLength": 1}
    table = table_of(Method, required=["name"])
    label = {"description": "what tables call it; default: its name", "type": "string", "minLength": 1}
    return table | {"properties": {"name": name, "label": label} | table["properties"]}


def backbone_table(spec: type) -> Schema:
    """Return the schema of an inline table that names a backbone of this class, or a preset of it."""
    presets = [name for name, preset in PRESETS.items() if preset.spec is spec]
    names = [name for name, entry in BACKBONES.items() if entry.spec is spec] + presets
    label = {"description": "what tables call it", "type": "string", "minLength": 1}
    table = table_of(spec, required=["name"])
    return table | {"properties": table["properties"] | {"name": {"enum": names}, "label": label}}


def table_of(owner: type, *, required: Iterable[str] = ()) -> Schema:
    """Return the schema of a table whose keys are the fields of a class."""
    descriptions = field_descriptions(owner)
    properties = {
        name: {**({"description": descriptions[name]} if name in descriptions else {}), **each}
        for name, each in value_schema(owner)["properties"].items()
    }
    return closed(properties) | ({"required": list(required)} if required else {})


def closed(properties: Mapping[str, Schema], about: Schema | None = None) -> Schema:
    """Return the schema of a table with exactly these keys allowed."""
    words = {"description": about["description"]} if about and "description" in about else {}
    return {**words, "type": "object", "additionalProperties": False, "properties": dict(properties)}


def or_list(path: str) -> Schema:
    """Return the schema of an axis: one value or a list of values."""
    return {"anyOf": [reference(path), {"type": "array", "minItems": 1, "items": reference(path)}]}


def any_of(schemas: Iterable[Schema]) -> Schema:
    """Return the schema of a value that one of these allows."""
    distinct = list({json.dumps(each): each for each in schemas}.values())
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def value_schema(kind: Any) -> Schema:
    """Return pydantic's schema of a type without null, which TOML lacks, and without generated titles."""
    return simplified(adapter(kind).json_schema())


def simplified(schema: Schema) -> Schema:
    simple = {key: value for key, value in schema.items() if key not in ("title", "anyOf", "prefixItems", "properties")}
    if simple.get("default", ...) is None:
        del simple["default"]
    if "const" in simple:
        simple["enum"] = [simple.pop("const")]
    if "items" in simple:
        simple["items"] = simplified(simple["items"])
    if "prefixItems" in schema:
        simple["items"] = any_of(map(simplified, schema["prefixItems"]))
    if "properties" in schema:
        simple["properties"] = {name: simplified(each) for name, each in schema["properties"].items()}
    if "anyOf" in schema:
        simple |= any_of(simplified(each) for each in schema["anyOf"] if each.get("type") != "null")
    return simple


def described(path: str, schema: Schema, *, default: str | None = None) -> Key:
    """Return the documentation of a key from its schema."""
    if default is None:
        value: Any = DEFAULT_AXES.get(path.removeprefix("grid."), schema.get("default", ""))
        default = "" if value == "" else toml(value)
    return Key(path, type_text(schema), allowed_text(schema), default, schema.get("description", ""))


def type_text(schema: Schema) -> str:
    """Return the type of a value in terms of TOML."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(type_text, schema["anyOf"])))
    if "type" not in schema:
        return " or ".join(dict.fromkeys(ENUM_TYPES[type(value)] for value in schema["enum"]))
    kind: str = schema["type"]
    if kind == "array":
        item = type_text(schema["items"])
        count = f"{schema['minItems']} " if schema.get("minItems", 0) == schema.get("maxItems") else ""
        return f"list of {count}{PLURALS.get(item, item)}"
    return {"string": "text", "boolean": "true or false", "object": "table"}.get(kind, kind)


def allowed_text(schema: Schema) -> str:
    """Return the allowed values or their limits; empty if any value of the type is allowed."""
    if "anyOf" in schema:
        return "; ".join(filter(None, dict.fromkeys(map(allowed_text, schema["anyOf"]))))
    if "enum" in schema:
        return ", ".join(f"'{value}'" if isinstance(value, str) else toml(value) for value in schema["enum"])
    if "items" in schema:
        return allowed_text(schema["items"])
    return ", ".join(f"{words} {number(schema[key])}" for key, words in LIMITS.items() if key in schema)


def number(value: float) -> str:
    """Return a number with all digits of an integer."""
    return f"{value:,}" if isinstance(value, int) or (value.is_integer() and value < 1e15) else f"{value:g}"


def default_text(path: str) -> str:
    """Return the default of a field of a run, by recipe or by backbone where they differ."""
    head, _, name = path.partition(".")
    heads: dict[str, dict[str, Any]] = {
        "recipe": {**RECIPES},
        "method": {"none": Method()},
        "backbone": {known: default_spec(known) for known in NAMED},
    }
    owners = heads.get(head, {})
    return by_value({known: toml(getattr(each, name)) for known, each in owners.items() if hasattr(each, name)})


def by_value(values: Mapping[str, str], *, form: str = "{value} ({owners})", between: str = ", ") -> str:
    """Return "64 (quick), 128 (paper, modern)"; only the value if all are equal."""
    owners: dict[str, list[str]] = {}
    for owner, value in values.items():
        owners.setdefault(value, []).append(owner)
    if len(owners) < 2:
        return next(iter(owners), "")
    return between.join(form.format(value=value, owners=", ".join(names)) for value, names in owners.items())


def toml(value: Any) -> str:
    """Return a value as TOML writes it; "not set" for None."""
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
