"""Markdown in which texts stay text, as a renderer sees it."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from slbench.markdown import code_block, escape, markdown_table
from slbench.text import one_line

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
RENDERER.validateLink = lambda url: True  # type: ignore[method-assign]  # the escaping alone must hold
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- x", "<?x?>", "</td>", "[a](javascript:alert(1))",
    "![a](http://example.org/a.png)", "[a]: javascript:alert(1)", "[a][b]", "<javascript:alert(1)>", "<a@b.de>",
    "a\n# b", "a\r\n\r\n> b", "# a", "> a", "- a", "+ a", "* a", "1. a", "12) a", "---", "- - -", "===", "___", "***",
    "```\na", "~~~ a", "    a", "\ta", "a | b", "a \\| b", "a\\", "\\", "\\[a](b)",
    "[a\\](b)", "[a]\\(b)", "`a`", "``a",
    "*a*", "_a_", "__init__", "a_b", "~~a~~", "&lt;script&gt;", "&#60;b&#62;", "&copy;", "a &amp b", "[`](x)`](y)",
    "a\u2028# b", "\x1b[31m# a", "\ufeff# a", "[a](<x>)", "\\`a`", "|a|b|\n|-|-|", "a\\\\|b", "=1+1", "5 < 6 > 4 & 3",
]  # fmt: skip


def shown(rendered: str) -> str:
    """Return the text that a rendered page shows; asserts that all its tags are of its frame."""
    tags = set(re.findall(r"<[^<>]*>", rendered))
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "p", "h3", "ul", "li", "strong", "br"}
    assert {re.sub(r'</?(\w+)( style="text-align:\w+"| /)?>', r"\1", tag) for tag in tags} <= allowed, rendered
    return html.unescape(re.sub(r"<[^<>]*>", "", rendered)).strip("\n")


@pytest.mark.parametrize("frame", ["{}", "### {}", "- {}", "**x** {}", "a line  \n{}"])
def test_an_escaped_text_is_shown_as_it_is(frame: str) -> None:
    for text in HOSTILE:
        rendered = RENDERER.render(frame.format(escape(text)))
        assert shown(rendered).endswith(one_line(text))
        assert rendered.count("<p>") + rendered.count("<h3>") + rendered.count("<li>") == 1


def test_a_cell_is_shown_as_it_is() -> None:
    for text in HOSTILE:
        rendered = RENDERER.render(markdown_table(["a", text], [[text, "b"], ["c", text]]))
        line = one_line(text)
        assert [part.strip() for part in shown(rendered).split("\n") if part.strip()] == [
            "a",
            line,
            line,
            "b",
            "c",
            line,
        ]
        assert rendered.count("<tr>") == 3 and rendered.count("<td") == 4


def test_two_lines_of_notes_make_neither_a_table_nor_a_heading() -> None:
    rendered = RENDERER.render("  \n".join(map(escape, ("a|b", "-|-", "===", "---", "[a]: x", "[a]"))))
    assert not re.search("<(table|h[1-6]|hr|a)", rendered)


@pytest.mark.parametrize("code", ["a", "a ``` b", "```\n# b\n````\n<b>"])
def test_a_block_of_code_ends_where_its_code_ends(code: str) -> None:
    rendered = RENDERER.render(f"{code_block(code, 'sh')}\n\nend")
    assert rendered == f'<pre><code class="language-sh">{html.escape(code)}\n</code></pre>\n<p>end</p>\n'


def test_a_markdown_table_is_aligned_and_as_wide_as_its_cells() -> None:
    lines = [["ViT", "78.50 (1)", "a|b"], ["S-ViT, longer", "81.25 ± 0.40 (2)", " two\nlines "]]
    assert markdown_table(["Model", "final top-1", "note"], lines, align="lr").splitlines() == [
        "| Model         |      final top-1 | note      |",
        "|:--------------|-----------------:|:----------|",
        "| ViT           |        78.50 (1) | a\\|b      |",
        "| S-ViT, longer | 81.25 ± 0.40 (2) | two lines |",
    ]


def test_a_column_is_at_least_two_wider_than_its_head() -> None:
    assert markdown_table(["ab"], [["c"]], align="r").splitlines() == ["|   ab |", "|-----:|", "|    c |"]
    assert markdown_table(["ab"], []).splitlines() == ["| ab   |", "|:-----|"]
