"""A study lays out its own table."""

from typing import Any

import pytest

from slbench.errors import InputError
from tests.support import study


def test_a_study_chooses_rows_and_columns_of_its_table() -> None:
    report = {"method": ["lsa", "none"], "columns": ["params", "final", "gain"]}
    found = study({"grid": {"method": ["none", "lsa"]}, "report": report})
    assert found.layout.method == ("lsa", "none")
    assert found.layout.columns == ("params", "final", "gain")
    assert [run.spec.run_id for run in found.runs] == [run.spec.run_id for run in study({"grid": report_grid()}).runs]


def report_grid() -> dict[str, list[str]]:
    return {"method": ["none", "lsa"]}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"colums": ["final"]}, "test.toml: report: unknown key 'colums'"),
        ({"columns": ["finl"]}, "test.toml: report.columns: unknown column 'finl'; did you mean 'final'? known: "),
        (
            {"columns": ["gain"]},
            "test.toml: report.columns: 'gain' says something of the column before it: put it ",
        ),
        ({"columns": ["final", "macs", "gain"]}, "'gain' says something of the column before it"),
        (
            {"method": ["lsaa"]},
            "report.method: no run is called 'lsaa'; did you mean 'lsa'? known: none, lsa",
        ),
        ({"backbone": ["vit"]}, "report.backbone: no run is called 'vit'; known: ViT"),
        ({"columns": "final"}, 'test.toml: report.columns: must be a list in brackets, got "final"'),
    ],
)
def test_a_table_of_what_there_is_not_is_refused(report: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        study({"grid": {"backbone": ["vit"], "method": ["none", "lsa"]}, "report": report})
    assert words in str(refused.value)


def test_a_grid_that_is_narrowed_by_flags_keeps_the_layout_of_its_file() -> None:
    content = {"grid": {"method": ["none", "lsa"]}, "report": {"method": ["none", "lsa"]}}
    assert [run.labels.method for run in study(content, grid={"method": ["lsa"]}).runs] == ["lsa"]
