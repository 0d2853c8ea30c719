"""Contrast: a declared question about the methods of a study, or about two values of a field that it varies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from slbench.differing import setting_text
from slbench.errors import InputError
from slbench.recipes import ALIASES
from slbench.text import choices, distinct, shown
from slbench.validation import STRICT, checked

METHODS_2X2 = ("none", "spt", "lsa", "both")
MIN_BACKBONES = 5  # fewer say too little about backbones at large
Name = Annotated[str, MinLen(1)]
Value = str | bool | int | float  # of a field of a run


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A question: a method against a reference, an effect of the 2x2, or about a field that the study varies.

    That is a trend over the field, or two of its values, which are compared for each method.
    """

    __pydantic_config__ = STRICT

    method: Name | None = None  # the method that is compared, or followed along a trend
    reference: Value | None = None  # method or value to compare with; default: method "none", of a trend nothing
    effect: Literal["spt", "lsa", "interaction"] | None = None  # of the 2x2 of none, spt, lsa and both
    trend: Name | None = None  # field with several values, such as "method.initial_temperature"
    scale: Literal["linear", "log"] = "linear"  # of that field: change per unit, or per doubling
    field: Name | None = None  # with two values or more, such as "precision": value against reference, for each method
    value: Value | None = None  # of that field
    over: Literal["backbones", "backbones at large"] | None = None  # mean over these backbones, or over all such ones

    def __post_init__(self) -> None:
        if self.field is not None:
            self._check_values()
            return
        if self.value is not None:
            raise InputError(f"value: needs a field (got {shown(self.value)})")
        if not isinstance(self.reference, str | None):
            raise InputError(f"reference: must be the name of a method (got {shown(self.reference)})")
        if self.effect is not None and (self.method or self.reference or self.trend):
            raise InputError(f"effect: excludes method, reference and trend (got {shown(self.effect)}); keep one")
        if self.effect is None and self.method is None:
            raise InputError("method: is missing; allowed: a method, with reference or trend, an effect, or a field")
        if self.method is not None and self.method == self.reference:
            raise InputError(f"reference: must differ from the method (got {shown(self.reference)})")
        if self.scale == "log" and self.trend is None:
            raise InputError("scale: needs a trend (got 'log')")

    def _check_values(self) -> None:
        """Raise InputError unless a field has two values that differ."""
        others = {"method": self.method, "effect": self.effect, "trend": self.trend}
        if given := [key for key, other in others.items() if other is not None]:
            raise InputError(
                f"field: excludes method, effect and trend (got {shown(self.field)} and {given[0]}); keep one"
            )
        if self.scale == "log":
            raise InputError("scale: needs a trend (got 'log')")
        for key in ("value", "reference"):
            if getattr(self, key) is None:
                raise InputError(f"{key}: is missing; allowed: a value of {self.field}")
        if len(set(self.sides)) == 1:
            raise InputError(f"reference: must differ from the value (got {shown(self.reference)})")

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose runs answer it, the compared one first; none if each method answers it alone."""
        if self.field is not None:
            return ()
        if self.effect is not None:
            return ("both", "none", "spt", "lsa")
        return tuple(str(name) for name in (self.method, self.reference) if name is not None)

    @property
    def sides(self) -> tuple[str, ...]:
        """What it takes the accuracies of, the compared side first: its methods, or "precision=bf16" and so on."""
        if self.field is None:
            return self.methods
        return tuple(setting_text(self.field, value) for value in (self.value, self.reference))

    def side_of(self, value: Any) -> str | None:
        """Return which of its sides a value of its field is: not by the text, which rounds; None for another value."""
        found = (side for side, own in zip(self.sides, (self.value, self.reference), strict=True) if same(own, value))
        return next(found, None)

    @property
    def reference_text(self) -> str:
        """The method or value to compare with as text; empty without one."""
        return str(self.reference or "") if self.field is None else self.sides[1].partition("=")[2]

    @property
    def column(self) -> str | None:
        """The column of a tidy frame along which it compares; None for contrasts of methods alone."""
        path = self.trend or self.field
        return None if path is None else path.replace(".", "_")

    @property
    def is_sign(self) -> bool:
        """Whether its sign is neither good nor bad: a trend, or an interaction, compares no methods."""
        return self.trend is not None or self.effect == "interaction"

    @property
    def name(self) -> str:
        """Short name: "spt against none", "interaction of spt and lsa", "precision=bf16 against fp32"."""
        if self.effect is not None:
            return "interaction of spt and lsa" if self.effect == "interaction" else f"main effect of {self.effect}"
        if self.field is not None:
            return f"{self.sides[0]} against {self.reference_text}"
        pair = f"{self.method}" if self.reference is None else f"{self.method} against {self.reference}"
        if self.trend is None:
            return pair
        return f"trend of {pair} per {'doubling' if self.scale == 'log' else 'unit'} of {self.trend}"


def same(one: Any, other: Any) -> bool:
    """Return whether two values of a field are equal; true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def declared(entry: Contrast | Mapping[str, Any], *, reference: str = "none", where: str = "contrast") -> Contrast:
    """Return a contrast from its keys in a study file; a plain method is compared with `reference`.

    Args:
        where: file and key, for error messages.
    Raises:
        InputError: for an unknown key or value.
    """
    if isinstance(entry, Contrast):
        return entry
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: must be a table (got {shown(entry)}); allowed: keys of [[contrast]]")
    default = {} if "effect" in entry or "trend" in entry or "method" not in entry else {"reference": reference}
    for key in ("value", "reference"):
        got = entry.get(key)
        if not isinstance(got, str | int | float | None) or (isinstance(got, float) and not isfinite(got)):
            raise InputError(f"{where}: {key}: must be text, a number, true or false (got {shown(got)})")
    field = entry.get("field")
    full = {"field": ALIASES[field]} if isinstance(field, str) and field in ALIASES else {}
    contrast: Contrast = checked(Contrast, {**default, **entry, **full}, where=where)
    return contrast


def default_contrasts(methods: Iterable[str], reference: str) -> list[Contrast]:
    """Return every method against the reference."""
    return [Contrast(method=method, reference=reference) for method in methods if method != reference]


def effect_contrasts(methods: Iterable[str]) -> list[Contrast]:
    """Return the effects of the 2x2, if its four methods are there."""
    known = set(methods)
    effects: tuple[Literal["spt", "lsa", "interaction"], ...] = ("spt", "lsa", "interaction")
    return [Contrast(effect=effect) for effect in effects] if known.issuperset(METHODS_2X2) else []


def check_methods(contrast: Contrast, methods: Sequence[str], *, where: str = "contrast") -> None:
    """Raise InputError for a method that no run has.

    Args:
        where: file and key, for error messages.
    """
    if contrast.effect is not None and (missing := [name for name in METHODS_2X2 if name not in methods]):
        raise InputError(
            f"{where}: effect: needs the methods {', '.join(METHODS_2X2)} (got {shown(contrast.effect)} without "
            f"{', '.join(missing)})"
        )
    for key, name in zip(("method", "reference"), () if contrast.effect else contrast.methods, strict=False):
        if name not in methods:
            raise InputError(f"{where}: {key}: no run has this method (got {shown(name)}){choices(methods, name)}")


def check_values(contrast: Contrast, known: Iterable[Any], *, where: str = "contrast") -> None:
    """Raise InputError for a value of the contrast's field that no run has.

    Args:
        known: the values of that field.
    """
    assert contrast.field is not None
    known = list(known)
    sides = distinct(setting_text(contrast.field, value) for value in known)
    for key, side in zip(("value", "reference"), contrast.sides, strict=True):
        if side not in map(contrast.side_of, known):
            guessed = "" if side in sides else side.partition("=")[2]  # else it is text that reads like a value
            allowed = choices((each.partition("=")[2] for each in sides), guessed)
            got = shown(getattr(contrast, key))
            raise InputError(f"{where}: {key}: no run has this value of {contrast.field} (got {got}){allowed}")
