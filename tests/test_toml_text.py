"""TOML is read within limits, before memory or time is spent."""

from pathlib import Path

import pytest

from slbench.cli.options import parsed
from slbench.errors import InputError
from slbench.study import load_study
from slbench.toml_text import MAX_BYTES, MAX_KEY, MAX_NESTING, parse_toml, read_toml
from tests.support import naming

TOO_DEEP = f"more than {MAX_NESTING} "


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "[" * 900 + "]" * 900,
        "a = " + "{a = " * 5000,
        "a." * 3000 + "a = 1",
        '"a" . ' * 100_000 + "a = 1",
        "[" + "a." * 3000 + "a]",
        ".".join("a" * (MAX_NESTING + 1)) + " = 1",
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=TOO_DEEP):
        parse_toml(text, where="x.toml")


def test_dots_outside_keys_are_no_nesting() -> None:
    dots = "a." * 1000
    text = f'{".".join("a" * MAX_NESTING)} = 1\n# {dots}\nb = "{dots}"\nc = [{"0.5, " * 100}]\nd = """\n{dots}"""'
    assert set(parse_toml(text, where="x.toml")) == set("abcd")


def test_a_long_key_is_refused_in_a_short_line() -> None:
    key = "x" * (MAX_KEY + 1)
    for text in (f"{key} = 1", f"grid.{key} = [1]", f"[[method]]\n{key} = 1", f"a = [{{ b = {{ '{key}' = 1 }} }}]"):
        with pytest.raises(InputError, match=naming("x.toml", MAX_KEY + 1, MAX_KEY)) as refused:
            parse_toml(text, where="x.toml")
        assert len(str(refused.value)) < 200
    with pytest.raises(InputError, match=naming("--set", MAX_KEY + 1, MAX_KEY)):
        parsed([f"{key}=1"])
    assert parse_toml(f"{key[1:]} = 1", where="x.toml") == {key[1:]: 1}


@pytest.mark.parametrize("digits", [20, 5000])
def test_an_integer_beyond_64_bits_is_refused(digits: int) -> None:
    with pytest.raises(InputError, match=r"x\.toml: not valid TOML: .*(64 bits|4300 digits)"):
        parse_toml(f"grid.seed = [1, {'9' * digits}]", where="x.toml")


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match=f"has more than {MAX_BYTES:,} bytes"):
        read_toml(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_study(path: str) -> None:
    with pytest.raises(InputError, match="is a device, not a file"):
        load_study(Path(path))


def test_an_empty_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("# nothing yet\n")
    with pytest.raises(InputError, match=r"empty study; .*\[grid\]"):
        load_study(path)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('\ufefftitle = "x"', encoding="utf-8")
    assert read_toml(path) == {"title": "x"}


@pytest.mark.parametrize("text", ["1\nb = 2", "[1", "x y"])
def test_a_value_of_a_flag_that_is_not_one_value_is_text(text: str) -> None:
    assert parsed([f"recipe.lr={text}"]) == {"recipe.lr": text}


def test_a_value_of_a_flag_keeps_the_limits() -> None:
    with pytest.raises(InputError, match=f"--set recipe.lr: .*{TOO_DEEP}"):
        parsed(["recipe.lr=" + "[" * 5000])
