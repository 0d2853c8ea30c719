"""Style of figures: text, colors, ticks."""

import pytest

from slbench.plotting.style import FULL, PLAIN, StyleMap, new_figure, plain, style, styles_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ViT", "ViT"),
        ("$x_1$", r"\$x_1\$"),
        ("_private", " _private"),
        ("two\nlines\t\x07 and \ud800 a half", "two lines and a half"),
        ("x" * 41, "x" * 39 + "…"),
        ("$" * 41, r"\$" * 39 + "…"),
    ],
)
def test_plain_text_is_one_short_line_without_formulas(text: str, shown: str) -> None:
    assert plain(text) == shown
    with style():
        figure, axes = new_figure()
        drawn, is_formula = axes.text(0, 0, plain(text))._preprocess_math(plain(text))  # type: ignore[attr-defined]
    assert (drawn, is_formula) == (shown.replace(r"\$", "$"), False)
    assert figure is axes.figure


def test_methods_have_the_same_style_in_every_figure() -> None:
    style_map = StyleMap(("spt", PLAIN, "lsa", FULL, "own"))
    fewer = StyleMap((PLAIN, "own", FULL, "spt"))
    for method in (PLAIN, "spt", FULL, "own"):
        assert style_map.of(method) == fewer.of(method)
    assert (style_map.of(PLAIN).marker, style_map.of(FULL).marker, style_map.of(PLAIN).line) == ("o", "*", "-")


def test_twelve_methods_have_different_colors_markers_and_lines() -> None:
    methods = (PLAIN, "spt", "lsa", *(f"method {number}" for number in range(8)), FULL)
    styles = [StyleMap(methods).of(method) for method in methods]
    for values in (
        [each.color for each in styles],
        [each.marker for each in styles],
        [str(each.line) for each in styles],
    ):
        assert len(set(values)) == 12


def test_lines_of_one_method_are_told_apart() -> None:
    styles = styles_of({"L-ViT": "lsa", "S-ViT, ratio 0.25": "spt", "S-ViT, ratio 0.5": "spt"})
    assert styles["L-ViT"] == StyleMap(()).of("lsa")
    assert styles["S-ViT, ratio 0.25"].color != styles["S-ViT, ratio 0.5"].color
