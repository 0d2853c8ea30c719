"""CSV that no spreadsheet takes for formulas, and back."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from slbench import load_runs
from slbench.csv_text import FORMULA, read_csv, to_csv
from slbench.errors import InputError
from tests.support import ROOT, missing

TEXTS = [
    "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "'=x", "''@", "'plain", "-1.5", "+2e-3", "-", "a=b", 'a"b', "a,b",
    "a\nb", "NA", "None", "nan", "true", "007", "–", "=HYPERLINK(\"http://example.org\")",
]  # fmt: skip


def test_a_cell_that_a_spreadsheet_would_evaluate_has_an_apostrophe_and_is_read_back_without(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS, "=head": range(len(TEXTS)), "number": -0.1})
    csv = to_csv(frame)
    cells = pd.read_csv(StringIO(csv), dtype=str, keep_default_na=False)
    harmless = {"-1.5", "+2e-3"}
    assert not [text for text in cells["text"] if text[0] in "=+-@" and text not in harmless]
    assert list(cells.columns) == ["text", "'=head", "number"] and set(cells["number"]) == {"-0.1"}
    assert cells["text"][0] == "'=1+1" and cells["text"][4] == "''=x" and cells["text"][6] == "'plain"
    (tmp_path / "x.csv").write_text(csv, encoding="utf-8")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "x.csv", texts=("text",)), frame)


def test_control_characters_are_left_out_of_a_csv_even_before_a_formula() -> None:
    assert to_csv(pd.DataFrame({"a": ["\x1b[31m=1", "\0=1", "\r=1", "\t=1", "b\x9b\u202e"]})).splitlines()[1:] == [
        "'=1", "'=1", "'=1", "'\t=1", "b",
    ]  # fmt: skip
    assert FORMULA.match("\t=1")


def test_load_runs_reads_the_runs_csv_of_a_report_as_the_store_itself(tmp_path: Path) -> None:
    runs = load_runs(ROOT / "tests" / "golden_store" / "store")
    runs.loc[runs.index[0], ["backbone", "dataset"]] = ["=ViT", "2"]
    (tmp_path / "runs.csv").write_text(to_csv(runs), encoding="utf-8")
    pd.testing.assert_frame_equal(load_runs(tmp_path / "runs.csv"), runs)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"run\n\xff\n", b'run\n"a', b"run\na,b,c\n1\n1,2,3,4,5\n"])
def test_another_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    with pytest.raises(InputError) as error:
        load_runs(path)
    assert not missing(str(error.value), path, "no such file")
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_runs(path)
    assert not missing(str(error.value), path, "not ") and "\n" not in str(error.value)
