"""Sections of committed reports that a page of the docs quotes.

A quotation is enclosed in comments. It is the section of that heading, or without `#` the file; of that only the
tables, if it has any:

    <!-- quoted: results/reference/pilot/findings.md#Answers -->
    ...
    <!-- end of quotation -->
"""

import re

from tests.support import ROOT

PAGE = ROOT / "docs" / "results.md"
END = "<!-- end of quotation -->"
QUOTATION = re.compile(rf"<!-- quoted: ([^#\n]+?)(?:#(.+?))? -->\n.*?{END}", flags=re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", flags=re.MULTILINE)


def with_quotations(page: str) -> str:
    """Return a page with the present text of all that it quotes. Raises KeyError for a heading that a file lacks."""

    def quotation(found: re.Match[str]) -> str:
        file, heading = found.groups()
        text = (ROOT / file).read_text(encoding="utf-8")
        section = sections(text)[heading] if heading else text
        quoted = "\n".join(re.findall(r"^\|.*$", section, flags=re.MULTILINE)) or section.strip()
        return f"{found[0].splitlines()[0]}\n\n{quoted}\n\n{END}"

    return QUOTATION.sub(quotation, page)


def sections(text: str) -> dict[str, str]:
    """Return the text below each heading, up to the next heading of any level."""
    _, *parts = HEADING.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))
