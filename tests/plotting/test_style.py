"""Style of figures: text, colors, ticks."""

import pytest

from slbench.plotting.style import FULL, PLAIN, StyleMap, new_figure, plain, style, thin_ticks


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
    style_map = StyleMap(("ViT", "PiT"), ("spt", PLAIN, "lsa", FULL))
    fewer = StyleMap(("ViT",), (PLAIN, "spt", FULL))
    for method in (PLAIN, "spt", FULL):
        assert style_map.marker(method) == fewer.marker(method)
        assert style_map.line_style(method) == fewer.line_style(method)
        assert style_map.method_color(method) == fewer.method_color(method)
    assert (style_map.marker(PLAIN), style_map.marker(FULL), style_map.line_style(PLAIN)) == ("o", "*", "-")
    styles = {
        (style_map.marker(method), str(style_map.line_style(method)), style_map.method_color(method))
        for method in style_map.methods
    }
    assert len(styles) == 4
    assert len({style_map.backbone_color(name) for name in style_map.backbones}) == 2


def test_eight_methods_have_different_markers() -> None:
    methods = tuple(f"method {number}" for number in range(6))
    style_map = StyleMap(("ViT",), (PLAIN, *methods, FULL))
    assert len({style_map.marker(method) for method in style_map.methods}) == 8


def test_ticks_on_a_logarithmic_axis_do_not_overlap() -> None:
    assert thin_ticks([1, 10, 100], most=2) == [1, 10, 100]
    assert thin_ticks([1, 90, 95, 100], most=2) == [1, 100]
