"""MkDocs hooks: tables generated from the code, reference results as images, formulas as MathML."""

import dataclasses
import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from slbench.recipes import RECIPE_SOURCES, RECIPES, Recipe

ROOT = Path(__file__).parent.parent
RESULTS = "results/reference"
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog and the pictures of the reference results, which are kept elsewhere in the repository."""
    files.append(File.generated(config, "changelog.md", abs_src_path=str(ROOT / "CHANGELOG.md")))
    for picture in sorted((ROOT / RESULTS).rglob("*.png")):
        files.append(File.generated(config, picture.relative_to(ROOT).as_posix(), abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Insert generated tables; point links to results, which work in a clone too, into the site."""
    return markdown.replace(f"](../{RESULTS}/", f"]({RESULTS}/").replace("<!-- generated: recipes -->", recipe_table())


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Replace formulas by MathML, which browsers show without a script."""
    return MATH.sub(lambda found: mathml(found[2], block=found[1] == "div"), content)


def mathml(formula: str, *, block: bool) -> str:
    """Return a TeX formula, as HTML escapes it, as MathML."""
    math: str = convert(html.unescape(formula).strip(), display="block" if block else "inline")
    return math


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; pipes inside cells are escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    """Return a value as TOML would write it, as code; – for none."""
    if value is None or value == ():
        return "–"
    text = {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return f"`{'[' + ', '.join(map(str, value)) + ']' if isinstance(value, tuple) else text}`"


def recipe_table() -> str:
    """Return a line for each field of a recipe: its value in every recipe, and the sources."""
    rows = []
    for field in dataclasses.fields(Recipe):
        values = [code(getattr(recipe, field.name)) for recipe in RECIPES.values()]
        sources = {name: RECIPE_SOURCES[name][field.name] for name in RECIPES if name != "quick"}
        same = len(set(sources.values())) == 1
        words = next(iter(sources.values())) if same else "; ".join(f"{name}: {text}" for name, text in sources.items())
        rows.append([f"`recipe.{field.name}`", *values, words])
    return markdown_table(["field", *(f"`{name}`" for name in RECIPES), "source (`quick`: ours)"], rows)
