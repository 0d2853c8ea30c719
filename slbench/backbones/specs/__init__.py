"""The registry of backbones: `BACKBONES` by name, and `RegisteredSpec`, the sizes of any of them. Free of torch."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from slbench.backbones.specs import cait, convnets, pit, swin, t2t, vit
from slbench.backbones.specs.base import BackboneEntry, BackboneSpec, PatchSpec, TransformerSpec
from slbench.backbones.specs.cait import CaiTSpec
from slbench.backbones.specs.convnets import EfficientNetSpec, ResNetSpec
from slbench.backbones.specs.foreign import ForeignSpec, foreign_entry, is_foreign
from slbench.backbones.specs.pit import PiTSpec
from slbench.backbones.specs.swin import SwinSpec
from slbench.backbones.specs.t2t import T2TSpec
from slbench.backbones.specs.vit import ViTSpec
from slbench.text import choices, shown
from slbench.validation import adapter

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, SerializationInfo
    from pydantic_core import CoreSchema

__all__ = [
    "BACKBONES",
    "BackboneEntry",
    "BackboneSpec",
    "CaiTSpec",
    "EfficientNetSpec",
    "ForeignSpec",
    "PatchSpec",
    "PiTSpec",
    "RegisteredSpec",
    "ResNetSpec",
    "SwinSpec",
    "T2TSpec",
    "TransformerSpec",
    "ViTSpec",
    "backbone_entry",
    "is_foreign",
]

BACKBONES: dict[str, BackboneEntry] = {
    **vit.ENTRIES,
    **t2t.ENTRIES,
    **cait.ENTRIES,
    **pit.ENTRIES,
    **swin.ENTRIES,
    **convnets.ENTRIES,
}


def backbone_entry(name: str) -> BackboneEntry:
    """Return the entry of a backbone: one of `BACKBONES`, or a foreign model. Raises KeyError for any other name."""
    return foreign_entry(name) if is_foreign(name) else BACKBONES[name]


class ByName:
    """Makes pydantic read and write sizes by the class of their name, registered or foreign."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        del source, handler
        return core_schema.no_info_plain_validator_function(
            registered,
            serialization=core_schema.plain_serializer_function_ser_schema(to_python, info_arg=True),
        )


RegisteredSpec = Annotated[BackboneSpec, ByName]


def registered(value: Any) -> BackboneSpec:
    """Return sizes that were read from JSON as an object of their class.

    Raises:
        ValueError: for a name that is neither registered nor one of a foreign model.
        ValidationError: for sizes that the class does not accept.
    """
    if isinstance(value, BackboneSpec):
        return value
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not (name in BACKBONES or is_foreign(name)):
        raise ValueError(f"unknown backbone (got {shown(name)}){choices(BACKBONES, str(name))}")
    kind: Any = backbone_entry(name).spec
    sizes: BackboneSpec = adapter(kind).validate_json(json.dumps(value), strict=True)
    return sizes


def to_python(value: BackboneSpec, info: "SerializationInfo") -> Any:
    """Return sizes as plain values."""
    kind: Any = type(value)
    return adapter(kind).dump_python(value, mode="json" if info.mode_is_json() else "python")
