import re
import shutil
import subprocess
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from slbench.published.numbers import Published
from slbench.published.reproduction import ReproductionVerdict
from slbench.report.cells import Cell, Row
from slbench.report.columns import CostColumn, GainColumn, MetricColumn, PublishedColumn
from slbench.report.footnotes import Note
from slbench.report.html.cells import blocks, head_rows, text_table
from slbench.report.render import csv, latex, markdown
from slbench.report.table import Table
from slbench.stats.contrast import Contrast
from slbench.stats.contrasts import Answer
from slbench.stats.judge import judged
from slbench.stats.settings import DEFAULT_STATISTICS

ANSWER = Answer(
    contrast=Contrast(method="spt", reference="none"), backbone="ViT", dataset="a-set", setting="",
    values={0: 1.0, 1: 2.0},
)  # fmt: skip
(GAIN,) = judged([ANSWER], family="primary", statistics=DEFAULT_STATISTICS)
CITED = Published("table2", "ViT", "S", "top1", "a-set", 76.29, "%", "verbatim", "", "somewhere")
BEST = Cell(
    81.254,
    0.396,
    2,
    2,
    best=True,
    gain=GAIN,
    reproduction=ReproductionVerdict(CITED, "not comparable", "5 epochs, not 100"),
)
PLAIN = Cell(78.5, None, 1, 1)
PART = Cell(70.0, None, 1, 2)
A, B = ("a-set", "final"), ("b-set", "final")
ROWS = (
    Row(
        "ViT", "ViT", "none", ("0.001",),
        {"images_per_second": (12345.6,), "macs": (189_522_816,), "params": (2_709_796,)}, {A: PLAIN, B: PART},
    ),
    Row(
        "S-ViT", "ViT", "spt", ("0.002",),
        {"images_per_second": (), "macs": (198_960_000, 1_000_000), "params": (2_747_140,)}, {A: BEST}, ("a",),
    ),
)  # fmt: skip
COST_COLUMNS = tuple(CostColumn(name) for name in ("images_per_second", "macs", "params"))
TABLE = Table(
    name="my study_1",
    settings=("recipe_lr",),
    columns=(*COST_COLUMNS, MetricColumn("final", "a-set"), MetricColumn("final", "b-set")),
    rows=ROWS,
    caption=("Title & 5 % of $x_1$.", "mean ± std."),
    notes=(Note("Unfinished: 1 of 2 runs."), Note("Mixed commits: x.", "a", frozenset({"1"}))),
)
COMPARED = replace(TABLE, columns=tuple(kind("final", "a-set") for kind in (MetricColumn, GainColumn, PublishedColumn)))


def titled(name: str) -> Table:
    return replace(TABLE, rows=(replace(ROWS[0], title=name), ROWS[1]))


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_is_a_caption_a_table_and_notes() -> None:
    caption, body, notes = markdown.render_table(TABLE).split("\n\n")
    assert caption == "Title & 5 % of $x_1$. mean ± std."
    head, rule, *lines = map(cells_of, body.splitlines())
    assert head == [
        "Model", "recipe_lr", "Images/s", "MACs (M)", "Params (M)", "a-set final top-1", "b-set final top-1",
    ]  # fmt: skip
    assert [(cell[0], cell[-1]) for cell in rule] == [(":", "-")] * 2 + [("-", ":")] * 5
    assert lines == [
        ["ViT", "0.001", "12,346", "189.5", "2.71", "78.50 (1)", "70.00 (1 of 2)"],
        ["S-ViT<sup>a</sup>", "0.002", "–", "199.0 / 1.0", "2.75", "**81.25 ± 0.40 (2)**", "–"],
    ]
    assert notes == "Unfinished: 1 of 2 runs.  \na: Mixed commits: x.\n"


def test_markdown_keeps_a_bar_in_its_cell() -> None:
    line = next(line for line in markdown.render_table(titled("a|b")).splitlines() if "a\\|b" in line)
    assert len(cells_of(line)) == 7


def test_markdown_keeps_a_line_break_in_its_cell() -> None:
    assert markdown.render_table(titled("a\nb")).count("\n") == markdown.render_table(TABLE).count("\n")


def test_markdown_of_an_empty_table_says_that_it_is_empty() -> None:
    assert "No run is finished yet." in markdown.render_table(replace(TABLE, rows=()))


def test_an_empty_table_has_the_same_heads() -> None:
    table = replace(COMPARED, columns=(*COST_COLUMNS, *COMPARED.columns))
    empty = replace(table, rows=())
    assert [cells_of(markdown.render_table(each).splitlines()[2]) for each in (empty, table)] == [table.heads] * 2
    assert csv.render_table(empty).splitlines() == csv.render_table(table).splitlines()[:1]
    head = " & ".join(map(latex.escape, table.heads)) + r" \\"
    assert [line for line in latex.render_table(empty).splitlines() if line.endswith(r"\\")] == [head]
    assert head_rows(empty) == head_rows(table) and blocks(empty) == []
    heads, bodies = text_table(("Seed", "Run"), [])
    assert [head.text for line in heads for head in line] == ["Seed", "Run"] and bodies == [[]]


def test_a_gain_shows_its_interval_and_a_published_number_its_verdict() -> None:
    _, _, plain, spt = (cells_of(line) for line in markdown.render_table(COMPARED).splitlines() if line.startswith("|"))
    assert plain[2:] == ["78.50 (1)", "–", "–"]
    assert spt[2:] == ["**81.25 ± 0.40 (2)**", "+1.50 (−4.85 to +7.85)", "76.29 (not comparable)"]


def test_csv_has_gains_and_verdicts_in_full() -> None:
    frame = pd.read_csv(StringIO(csv.render_table(COMPARED)))
    assert frame["a-set_final_test_top1_gain"][1] == 1.5
    assert frame["a-set_final_test_top1_gain_high"][1] == pytest.approx(1.5 + 12.7062 * 0.5, abs=1e-4)
    assert frame["a-set_final_test_top1_verdict_reason"][1] == "5 epochs, not 100"
    assert frame["a-set_final_test_top1_published"][1] == 76.29
    assert frame["notes"][1] == "a: Mixed commits: x."
    assert pd.isna(frame["a-set_final_test_top1_gain"][0])


def test_what_would_be_a_tag_stays_text() -> None:
    hostile = replace(TABLE, caption=("<script>x</script>",))
    assert "<script>" not in markdown.render_table(hostile)


def test_csv_has_every_number_in_full() -> None:
    frame = pd.read_csv(StringIO(csv.render_table(TABLE)))
    assert list(frame["model"]) == ["ViT", "S-ViT"]
    assert list(frame["recipe_lr"]) == [0.001, 0.002]
    assert frame["a-set_final_test_top1_mean"][1] == 81.254
    assert frame["a-set_final_test_top1_std"][1] == 0.396
    assert list(frame["a-set_final_test_top1_n"]) == [1, 2]
    assert list(frame["b-set_final_test_top1_n"]) == [1, 0]
    assert frame["b-set_final_test_top1_expected"][0] == 2
    assert pd.isna(frame["b-set_final_test_top1_mean"][1])
    assert list(frame["macs"]) == ["189522816", "198960000 / 1000000"]
    assert frame["images_per_second"][0] == 12345.6


@pytest.mark.parametrize(
    ("words", "escaped"),
    [
        ("5 %", r"5 \%"),
        ("a_b & c", r"a\_b \& c"),
        ("$#{}", r"\$\#\{\}"),
        ("\\", r"\textbackslash{}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("81 ± 2", r"81 $\pm$ 2"),
        ("1–2", "1--2"),
        ("[1in]", "{[}1in{]}"),
        ("*", "{*}"),
        ("--x", "-{}-x"),
        ("a\n\nb\x1b[1m\0", "a b"),
    ],
)
def test_latex_escapes_special_characters(words: str, escaped: str) -> None:
    assert latex.escape(words) == escaped


def test_latex_has_its_environments_and_rules_in_pairs() -> None:
    words = latex.render_table(titled("50 % & more_or_less {x}"))
    for environment in ("table", "tabular"):
        assert words.count(rf"\begin{{{environment}}}") == words.count(rf"\end{{{environment}}}") == 1
    assert re.findall(r"\\(toprule|midrule|bottomrule)", words) == [
        "toprule",
        "midrule",
        "bottomrule",
    ]  # one midrule a backbone
    assert words.count("{") == words.count("}")
    assert r"\begin{tabular}{llrrrrr}" in words
    assert r"50 \% \& more\_or\_less \{x\}" in words
    assert r"\label{tab:my-study-1}" in words
    assert r"\caption{Title \& 5 \% of \$x\_1\$. mean $\pm$ std.}" in words
    assert r"\footnotesize\raggedright Unfinished: 1 of 2 runs. $^{a}$ Mixed commits: x.\par" in words


def test_a_latex_caption_has_at_most_sixty_words_and_the_notes_the_others() -> None:
    sentences = ("A title.", " ".join(["word"] * 57) + " end.", "Sixty are full.")
    words = latex.render_table(replace(TABLE, caption=sentences))
    (caption,) = re.findall(r"\\caption\{(.*)\}", words)
    assert len(caption.split()) == 60
    assert words.index("Sixty are full.") > words.index(r"\end{tabular}")


def test_latex_rows_have_a_cell_for_each_column_and_the_best_in_bold() -> None:
    lines = [line for line in latex.render_table(TABLE).splitlines() if line.endswith(r"\\")]
    assert [len(re.split(r"(?<!\\)&", line)) for line in lines] == [7, 7, 7]
    assert lines[1] == r"ViT & 0.001 & 12,346 & 189.5 & 2.71 & 78.50 (1) & 70.00 (1 of 2) \\"
    assert lines[2] == r"S-ViT$^{a}$ & 0.002 & -- & 199.0 / 1.0 & 2.75 & \textbf{81.25 $\pm$ 0.40 (2)} & -- \\"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    names = ("50 % & more_or_less {x} #1 ~ ^ \\ $", "[1in]", "*[1in]")
    body = "".join(latex.render_table(replace(titled(name), caption=(name, "≥ ± † − – × ²"))) for name in names)
    document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\\end{document}\n"
    (tmp_path / "x.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "x.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
