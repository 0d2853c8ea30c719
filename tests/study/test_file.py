"""Loading a study file: its name, and files that are no study."""

from pathlib import Path

import pytest

from slbench.errors import InputError
from slbench.study import Flags, load_study
from tests.study.helpers import cells
from tests.support import ROOT, missing, naming


def test_a_study_file_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "a b.toml"
    path.write_text('title = "T"\nsource = "S"\n', encoding="utf-8")
    found = load_study(path, Flags(grid={"method": ["none"]}))
    assert (found.name, found.title, found.source, len(found.runs)) == ("a b", "T", "S", 1)


def test_the_error_for_a_missing_file_names_a_similar_file_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").touch()
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "quik.toml")
    assert not missing(str(caught.value), tmp_path / "quik.toml", "quick.toml", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'title = "x"\nrecipe = \n', ("not valid TOML", "line 2, column 10")),
        (b"[grid]\n[grid]\n", ("not valid TOML", "grid", "line 2, column 6")),
        (b"title = '\xff'\n", ("UTF-8",)),
    ],
)
def test_invalid_toml_is_refused_with_line_and_column(
    tmp_path: Path, content: bytes, words: tuple[object, ...]
) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert not missing(str(caught.value), f"{path}", *words)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=naming("Is a directory")):
        load_study(tmp_path)


def test_the_shipped_quick_study_is_four_methods_with_two_seeds() -> None:
    found = load_study(ROOT / "studies" / "quick.toml")
    assert [cell[1:] for cell in cells(*found.runs)] == [
        (method, seed) for method in ("none", "spt", "lsa", "both") for seed in (0, 1)
    ]
