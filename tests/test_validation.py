from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.errors import InputError
from slbench.text import shown
from slbench.validation import Override, changed, checked
from tests.support import missing


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Sample:
    width: Annotated[int, Field(ge=1)] = 3
    rate: Annotated[float, Field(ge=0, lt=1)] = 0.5
    flip: bool = True
    kind: Literal["a", "b"] = "a"
    sides: tuple[int, int] = field(default=(5, 7))

    def __post_init__(self) -> None:
        if self.width == 13:
            raise InputError("width 13 brings bad luck")
        if self.width == 11 and self.flip:
            raise InputError("width 11 and flip exclude each other")


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: int = 0
    high: int = 1


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str
    inner: dict[str, int] = {}
    limits: Inner = Inner()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"width": 0}, ("f", "width", "1", "0")),
        ({"width": 2.5}, ("f", "width", "integer", "2.5")),
        ({"width": "2"}, ("f", "width", "integer", "2")),
        ({"width": True}, ("f", "width", "integer", "true")),
        ({"rate": 1.0}, ("f", "rate", "1", "1.0")),
        ({"rate": -0.5}, ("f", "rate", "0", "-0.5")),
        ({"rate": float("nan")}, ("f", "rate", "finite", "number", "NaN")),
        ({"rate": "x"}, ("f", "rate", "number", "x")),
        ({"flip": 1}, ("f", "flip", "true", "false", "1")),
        ({"flip": "no"}, ("f", "flip", "true", "false", "no")),
        ({"kind": "c"}, ("f", "kind", "a", "b", "c")),
        ({"kind": 5}, ("f", "kind", "a", "b", "5")),
        ({"sides": 5}, ("f", "sides", "5")),
        ({"sides": [5, "x"]}, ("f", "sides[1]", "integer", "x")),
        ({"widht": 3}, ("f", "widht", "width", "rate", "flip", "kind", "sides")),
        ({"width": 13}, ("f", "width 13")),
    ],
)
def test_a_wrong_value_is_one_line_with_the_key_what_is_allowed_and_what_was_got(
    value: dict[str, Any], words: tuple[object, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        checked(Sample, value, where="f")
    assert not missing(str(caught.value), *words)


def test_an_integer_is_a_float_where_a_float_is_asked_for() -> None:
    sample = checked(Sample, {"rate": 0}, where="f")
    assert isinstance(sample.rate, float)
    assert sample == Sample(rate=0.0)


def test_a_list_becomes_a_tuple() -> None:
    assert checked(Sample, {"sides": [2, 3]}, where="f").sides == (2, 3)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError) as caught:
        checked(Document, {}, where="f.toml")
    assert not missing(str(caught.value), "f.toml: title")


def test_a_nested_key_is_named_with_its_path() -> None:
    with pytest.raises(InputError) as caught:
        checked(Document, {"title": "x", "inner": {"a": "b"}}, where="f.toml")
    assert not missing(str(caught.value), "f.toml", "inner.a", "integer", "b")


def test_an_unknown_nested_key_is_named_with_those_allowed_beside_it() -> None:
    with pytest.raises(InputError) as caught:
        checked(Document, {"title": "x", "limits": {"hihg": 2}}, where="f.toml")
    assert not missing(str(caught.value), "f.toml: limits", "hihg", "low", "high")


def test_a_changed_value_is_checked_and_the_change_is_blamed() -> None:
    with pytest.raises(InputError) as caught:
        changed(Sample(), {"width": Override(-1, "--set x.width"), "rate": Override(0.1, "--set x.rate")}, where="f")
    assert not missing(str(caught.value), "--set", "x.width", "1", "-1")


def test_changes_that_exclude_each_other_are_blamed_on_the_whole() -> None:
    changes = {"width": Override(11, "--set x.width"), "flip": Override(True, "--set x.flip")}
    with pytest.raises(InputError) as caught:
        changed(Sample(), changes, where="f: x")
    assert not missing(str(caught.value), "f: x", "width 11", "flip")


def test_a_change_of_nothing_gives_the_value_itself() -> None:
    sample = Sample(width=5)
    assert changed(sample, {}, where="f") is sample


def test_a_change_keeps_the_other_fields() -> None:
    assert changed(Sample(width=5, kind="b"), {"rate": Override(0, "x")}, where="f") == Sample(
        width=5, kind="b", rate=0.0
    )


def test_a_long_value_is_cut_to_60_characters() -> None:
    assert shown("x" * 58) == "'" + "x" * 58 + "'"
    assert shown("x" * 59) == "'" + "x" * 56 + "..."
    assert len(shown(list(range(1000)))) == 60
    assert shown(Path("x" * 99)) == repr("x" * 99)  # a path is not
