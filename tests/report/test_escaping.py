"""Whole reports of hostile texts, as a browser, LaTeX and pandas read them."""

import re
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from slbench.report import SUFFIXES
from slbench.report.write import report
from slbench.text import CONTROLS
from tests.report.html.chromium import chromium
from tests.report.html.test_page import hostile_inputs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("svg")]
HOSTILE = {
    "active in a browser": "<script>alert(1)</script><img src=x onerror=alert(2)>![i](http://example.org/i.png)"
    "[a](javascript:alert(3))\n\n# b\n\n[a]: javascript:alert(4)\n\n<http://example.org/> </td></table>",
    "active in LaTeX": "[1in] \\input{/etc/passwd} \\write18{touch x} $x^2 & 5 % _ ~ # { *\n\n\\item [a] ^^M --x `a'",
    "a star": "*[1in]",
    "a formula": "=HYPERLINK(\"http://example.org\")|' /C calc'!A0",
    "control characters": "\x1b[31m\0\x07\x9b2J\u202e=1+1\r\n\u2066# b\x7f",
}


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a report in every format, whose texts are hostile."""
    folder = tmp_path / "report"
    inputs = hostile_inputs(tmp_path / "store", request.param)
    report(inputs, columns=["macs", "final", "gain", "diverged"], formats=list(SUFFIXES), figures=["all"], out=folder)
    return folder


def test_a_report_of_hostile_texts_does_nothing(written: Path, tmp_path: Path) -> None:
    files = [path for path in written.iterdir() if path.suffix not in (".png", ".pdf")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert not [name for name, text in texts.items() if CONTROLS.search(text)]
    opens_as_text_alone(written, texts, tmp_path)
    is_compiled(texts["table.tex"] + texts["findings.tex"], tmp_path)
    for name in ("table.csv", "runs.csv", "findings.csv"):
        has_no_formula(texts[name])


def opens_as_text_alone(folder: Path, texts: dict[str, str], tmp_path: Path) -> None:
    """Check that nothing runs, is loaded or can be followed in the page and in the rendered Markdown."""
    renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
    renderer.validateLink = lambda url: True  # type: ignore[method-assign]  # some renderers check nothing
    page = folder / "markdown.html"
    page.write_text(renderer.render(f"{texts['table.md']}\n\n{texts['findings.md']}"), encoding="utf-8")
    with chromium(tmp_path) as tab:
        for path in (folder / "report.html", page):
            tab.open(path)
            assert tab.messages == [] and tab.requested == [path.as_uri()]
            links = tab.evaluate("[...document.querySelectorAll('a')].map(one => one.getAttribute('href'))")
            assert all(link.startswith("#") for link in links)
        assert tab.evaluate("document.querySelectorAll('img, script, a, h1, h2, hr, pre, blockquote').length") == 0


def is_compiled(tables: str, folder: Path) -> None:
    """Check that LaTeX takes the tables, and no text for an option of a command."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no LaTeX is installed")
    document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + tables + "\\end{document}\n"
    (folder / "x.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "x.tex"], cwd=folder, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert not re.search(r"(\\\\|\\(top|mid|bottom)rule|\\item)\s*[\[*]", tables)


def has_no_formula(csv: str) -> None:
    frame = pd.read_csv(StringIO(csv), dtype=str, keep_default_na=False)
    active = [cell for cell in [*frame.columns, *frame.to_numpy().ravel()] if re.match(r"[=+\-@\t]", cell)]
    assert not [cell for cell in active if not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell)]
