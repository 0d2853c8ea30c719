"""Contrast: a declared question about the methods of a study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from slbench.errors import InputError
from slbench.text import choices, shown
from slbench.validation import STRICT, checked

METHODS_2X2 = ("none", "spt", "lsa", "both")
MIN_BACKBONES = 5  # fewer say too little about backbones at large
Name = Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A question: a method against a reference, an effect of the 2x2, or a trend over a field that the study varies."""

    __pydantic_config__ = STRICT

    method: Name | None = None  # the method that is compared, or followed along a trend
    reference: Name | None = None  # the method to compare with; default "none", for a trend no comparison
    effect: Literal["spt", "lsa", "interaction"] | None = None  # of the 2x2 of none, spt, lsa and both
    trend: Name | None = None  # field with several values, such as "method.initial_temperature"
    scale: Literal["linear", "log"] = "linear"  # of that field: change per unit, or per doubling
    over: Literal["backbones", "backbones at large"] | None = None  # mean over these backbones, or over all such ones

    def __post_init__(self) -> None:
        if self.effect is not None and (self.method or self.reference or self.trend):
            raise InputError(f"effect: excludes method, reference and trend (got {shown(self.effect)}); keep one")
        if self.effect is None and self.method is None:
            raise InputError("method: is missing; allowed: a method, with reference or trend, or an effect")
        if self.method is not None and self.method == self.reference:
            raise InputError(f"reference: must differ from the method (got {shown(self.reference)})")
        if self.scale == "log" and self.trend is None:
            raise InputError("scale: needs a trend (got 'log')")

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose runs answer it, the compared one first."""
        if self.effect is not None:
            return ("both", "none", "spt", "lsa")
        return tuple(name for name in (self.method, self.reference) if name is not None)

    @property
    def is_sign(self) -> bool:
        """Whether its sign is neither good nor bad: a trend, or an interaction, compares no methods."""
        return self.trend is not None or self.effect == "interaction"

    @property
    def name(self) -> str:
        """Short name, such as "spt against none" or "interaction of spt and lsa"."""
        if self.effect is not None:
            return "interaction of spt and lsa" if self.effect == "interaction" else f"main effect of {self.effect}"
        pair = f"{self.method}" if self.reference is None else f"{self.method} against {self.reference}"
        if self.trend is None:
            return pair
        return f"trend of {pair} per {'doubling' if self.scale == 'log' else 'unit'} of {self.trend}"


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
    contrast: Contrast = checked(Contrast, {**default, **entry}, where=where)
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
    for key, name in (("method", contrast.method), ("reference", contrast.reference)):
        if name is not None and name not in methods:
            raise InputError(f"{where}: {key}: no run has this method (got {shown(name)}){choices(methods, name)}")
