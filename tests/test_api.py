"""The Python API of studies, and the notebook that shows it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slbench
from slbench.errors import InputError
from slbench.store import Store
from tests.support import ROOT, TINY, naming, store_record, study

NOTEBOOK = ROOT / "docs" / "first_study.ipynb"
CONTENT: dict[str, Any] = {"grid": {"backbone": [TINY], "method": ["none", "spt"], "seed": [0, 1]}}


def test_a_plan_names_every_run_and_its_state(tmp_path: Path) -> None:
    runs = study(CONTENT).runs
    store_record(Store(tmp_path), runs[0])
    frame = slbench.plan(CONTENT, store=tmp_path)
    assert list(frame.index) == [run.spec.run_id for run in runs]
    assert list(frame["state"]) == ["done", "missing", "missing", "missing"]
    path = tmp_path / "same.toml"
    path.write_text("[grid]\nmethod = ['none']\nseed = [3]\n")
    assert list(slbench.plan(path, store=tmp_path)["seed"]) == [3]
    assert list(slbench.plan(slbench.load_study(str(path)), store=tmp_path)["seed"]) == [3]


def test_a_report_is_written_and_its_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=naming("no finished run")):
        slbench.write_report(CONTENT, store=tmp_path)
    for run in study(CONTENT).runs:
        store_record(Store(tmp_path), run)
    written = slbench.write_report(CONTENT, store=tmp_path, formats=["md"], figures=["none"], out=tmp_path / "report")
    assert set(written.files) == {"runs.csv", "table.md", "findings.md"}
    assert all((tmp_path / "report" / name).exists() for name in written.files)
    for wrong in ({"formats": ["pdf"]}, {"figures": ["pie"]}, {"figure_style": "poster"}):
        ((key, value),) = wrong.items()
        with pytest.raises(InputError, match=naming(key, value if isinstance(value, str) else value[0])):
            slbench.write_report(CONTENT, store=tmp_path, **wrong)


def test_importing_slbench_imports_nothing_heavy() -> None:
    names = "('torch', 'pandas', 'pydantic', 'matplotlib')"
    code = f"import slbench, sys; sys.exit(any(name in sys.modules for name in {names}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    for number, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert isinstance(names["runs"], pd.DataFrame)
    assert len(names["runs"]) == 4
    assert {"table.tex", "report.html"} <= set(names["report"].files)
    assert (tmp_path / "report" / "tradeoff-macs.pdf").exists()
