"""The page in headless Chromium, where that is installed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from slbench.report.html.page import PageFigure
from tests.report.html.chromium import Tab, chromium
from tests.report.html.pages import SVG, a_section, page_of
from tests.report.html.test_page import HOSTILE, hostile_page, two_backbones

pytestmark = pytest.mark.slow
TITLES = "[...document.querySelectorAll('table.results tbody > tr > th')].map(one => one.firstChild.textContent)"
SORTED = "[...document.querySelectorAll('[aria-sort]')].map(one => [one.dataset.column, one.getAttribute('aria-sort')])"
PAPER = "getComputedStyle(document.body).backgroundColor"
ORDER = ["Tiny", "S-Tiny", "L-Tiny", "Wide", "S-Wide"]  # 71.25, 80 (1 of 2), 75.5, 61, 64
BUTTON = "table.results th[data-column='{}'] button"
OPEN_RUNS = "[...document.querySelectorAll('.panel .run[open]')].map(one => one.dataset.run)"
LATER = "new Promise(done => setTimeout(() => done({})))"  # after the events that wait


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        opened.resize(1280, 900)
        yield opened


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A page, and the ids of its runs."""
    folder = tmp_path_factory.mktemp("page")
    inputs = two_backbones(folder / "store")
    section = a_section("Effects", (), ("Data", "Gain"), (("small", "+0.68 (−0.20 to +1.56)"), ("large", "−1.20")))
    path = folder / "report.html"
    path.write_text(page_of(inputs, sections=(section,), figures=(PageFigure("f", "c", SVG),)), encoding="utf-8")
    return path, [record.run_id for record in inputs.records]


def test_it_opens_without_console_messages_and_further_requests(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.open(made[0])
    assert tab.evaluate(TITLES) == ORDER
    assert tab.evaluate("document.querySelector('#theme').hidden") is False  # the script has run
    assert tab.messages == []
    assert tab.requested == [made[0].as_uri()]


def test_a_head_sorts_down_up_and_back_by_the_mean(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.open(made[0])
    tab.click(BUTTON.format(1))
    assert tab.evaluate(TITLES) == ["S-Tiny", "L-Tiny", "Tiny", "S-Wide", "Wide"]
    assert tab.evaluate(SORTED) == [["1", "descending"]]
    assert tab.evaluate("location.hash") == "#sort=1%3Adescending"
    tab.click(BUTTON.format(1))
    assert tab.evaluate(TITLES) == ["Wide", "S-Wide", "Tiny", "L-Tiny", "S-Tiny"]
    assert tab.evaluate(SORTED) == [["1", "ascending"]]
    tab.click(BUTTON.format(1))
    assert tab.evaluate(TITLES) == ORDER
    assert tab.evaluate(SORTED) == []
    assert tab.evaluate("[...document.querySelectorAll('table.results tbody')].map(one => one.rows.length)") == [3, 2]
    assert tab.evaluate("location.hash") == ""


def test_what_has_no_value_is_last_either_way(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.open(made[0], "#sort=2:descending")  # gains: +10, +4.25 and +3 of three rows
    assert tab.evaluate(TITLES) == ["S-Tiny", "L-Tiny", "S-Wide", "Tiny", "Wide"]
    tab.open(made[0], "#sort=2:ascending")
    assert tab.evaluate(TITLES) == ["S-Wide", "L-Tiny", "S-Tiny", "Tiny", "Wide"]


@pytest.mark.parametrize("key", ["Enter", " "])
def test_the_keyboard_sorts_and_opens(tab: Tab, made: tuple[Path, list[str]], key: str) -> None:
    tab.open(made[0])
    tab.evaluate(f'document.querySelector("{BUTTON.format(0)}").focus()')
    tab.press(key)
    assert tab.evaluate(TITLES) == sorted(ORDER, key=str.casefold)
    tab.evaluate("document.querySelector('a.behind').focus()")
    tab.press("Enter")
    assert tab.evaluate("document.querySelectorAll('.panel').length") == 1
    tab.evaluate("document.querySelector('.panel button').focus()")
    tab.press("Escape")
    assert tab.evaluate("document.querySelectorAll('.panel').length") == 0
    assert tab.evaluate("document.activeElement === document.querySelector('a.behind')") is True


def test_a_number_opens_its_runs_and_a_run_its_spec_commit_versions_data_and_curves(
    tab: Tab, made: tuple[Path, list[str]]
) -> None:
    path, ids = made
    tab.open(path)
    tab.click("a.behind")
    assert tab.evaluate("document.querySelector('a.behind').getAttribute('aria-expanded')") == "true"
    assert tab.evaluate("[...document.querySelectorAll('.panel .run')].map(one => one.dataset.run)") == ids[:2]
    assert tab.evaluate(OPEN_RUNS) == []
    tab.click(f".panel [data-run='{ids[1]}'] > summary")
    assert tab.evaluate(OPEN_RUNS) == [ids[1]]
    assert tab.evaluate(LATER.format("location.hash")) == f"#run={ids[1]}"
    tab.click(".panel .shared > summary")
    words = tab.evaluate("document.querySelector('.panel').innerText")
    for shown in (f"1\n{ids[1]}\n72.50", "c0ffee", "2.9.1", "da7a", "patch_size", "weight_decay", "fp32", "threads"):
        assert shown in words
    curves = tab.evaluate(
        "[...document.querySelectorAll('.panel .run[open] figure > svg')].map(one => "
        "[...document.querySelector(one.querySelector('use:last-of-type').getAttribute('href')).children]"
        ".map(path => path.getAttribute('d').match(/[Ml]/g).join('')))"
    )
    assert curves == [["Ml", "Mll"], ["Mll", "Ml", "Mll"]]  # validation has no third epoch
    below = (
        "[...document.querySelectorAll('.panel .run[open] use:first-of-type')].map("
        "use => document.querySelector(use.getAttribute('href') + ' .epochs').textContent)"
    )
    assert tab.evaluate(below) == ["123epoch"] * 2
    drawn = "[...document.querySelectorAll('.panel .run[open] use')].map(use => use.getBoundingClientRect().width > 50)"
    assert tab.evaluate(drawn) == [True] * 4
    tab.click(".panel .run[open] details > summary")
    values = tab.evaluate("document.querySelector('.panel .run[open] pre').innerText").splitlines()
    assert values[3].split() == ["3", "1.000", "–", "1.500", "–", "60.12"]
    tab.click(f".panel [data-run='{ids[1]}'] > summary")
    assert tab.evaluate(OPEN_RUNS) == []
    assert tab.evaluate(LATER.format("location.hash")) == ""
    tab.click("a.behind")
    assert tab.evaluate("document.querySelectorAll('.panel').length") == 0
    assert tab.messages == []


def test_an_expanded_line_stays_with_its_runs_when_the_table_is_sorted(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.open(made[0])
    tab.click("a.behind")
    tab.click(BUTTON.format(1))
    before = "document.querySelector('.panel').closest('tr').previousElementSibling.querySelector('th').innerText"
    assert tab.evaluate(before) == "Tiny"


def test_an_address_opens_a_run_a_sorting_and_a_theme_together(tab: Tab, made: tuple[Path, list[str]]) -> None:
    path, ids = made
    tab.open(path, f"#theme=dark&sort=1:ascending&run={ids[3]}")
    assert tab.evaluate(TITLES)[0] == "Wide"
    assert tab.evaluate(OPEN_RUNS) == [ids[3]]
    assert tab.evaluate(PAPER) == "rgb(20, 23, 26)"
    tab.open(path, f"#run=tiny-spt-fashion-mnist-12k-s0-{ids[2]}")
    assert tab.evaluate(OPEN_RUNS) == [ids[2]]
    tab.open(path, "#run=none&sort=99&theme=%3Cscript%3E&x=%E0%A4%A")
    assert tab.evaluate(TITLES) == ORDER
    assert tab.evaluate("document.querySelector('#lost').innerText").startswith("This page has no run none")
    tab.open(path, "#note-zz")
    assert "note-zz" in tab.evaluate("document.querySelector('#lost').innerText")
    tab.open(path, "#table")
    assert tab.evaluate("document.querySelector('#lost').hidden") is True
    assert tab.messages == []


def test_boxes_hide_columns_and_rows_with_their_opened_runs(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.open(made[0])
    seen = "[...document.querySelectorAll('.results tbody > tr')].filter(one => one.offsetHeight).length"
    cells = (
        "[...document.querySelector('.results tbody tr').querySelectorAll('td')].filter(one => one.offsetWidth).length"
    )
    tab.click("a.behind")
    tab.click(".filters summary")
    assert (tab.evaluate(seen), tab.evaluate(cells)) == (6, 5)
    tab.click("#show-c2")
    tab.click("#show-m0")
    assert (tab.evaluate(seen), tab.evaluate(cells)) == (3, 0)  # without the two plain rows and the runs below
    tab.click("#show-m0")
    assert (tab.evaluate(seen), tab.evaluate(cells)) == (6, 4)
    tab.click(BUTTON.format(1))
    tab.click("#show-b1")
    assert tab.evaluate(seen) == 4


def test_nothing_is_cut_and_figures_are_dark_on_a_dark_page(tab: Tab, made: tuple[Path, list[str]]) -> None:
    cut = "[...document.querySelectorAll('.wide')].some(one => one.scrollWidth > one.clientWidth)"
    image = "getComputedStyle(document.querySelector('#figures img')).filter.startsWith('invert')"
    tab.resize(1400, 900)
    for theme in ("light", "dark"):
        tab.open(made[0], f"#theme={theme}")
        assert tab.evaluate(cut) is False
        assert tab.evaluate(image) is (theme == "dark")
        assert tab.evaluate("document.querySelector('a.behind').getBoundingClientRect().bottom < 900") is True
    tab.resize(390, 844)
    tab.open(made[0])
    head = "document.querySelector('.results thead tr:last-child th').getBoundingClientRect().right <= 390"
    assert tab.evaluate(head) is True  # the first accuracy is on a phone's screen
    tab.resize(1280, 900)


def test_it_is_dark_where_dark_is_preferred_and_the_button_turns_it(tab: Tab, made: tuple[Path, list[str]]) -> None:
    for preferred, first, second in (("light", "rgb(255, 255, 255)", "rgb(20, 23, 26)"),
                                     ("dark", "rgb(20, 23, 26)", "rgb(255, 255, 255)")):  # fmt: skip
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": preferred}])
        tab.open(made[0])
        assert tab.evaluate(PAPER) == first
        tab.click("#theme")
        assert tab.evaluate(PAPER) == second
        tab.click("#theme")
        assert tab.evaluate(PAPER) == first
    tab.call("Emulation.setEmulatedMedia", features=[])


def test_hostile_names_are_escaped_in_elements_built_by_the_script(tab: Tab, tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE):
        path = tmp_path / f"{number}.html"
        path.write_text(hostile_page(tmp_path / str(number), name), encoding="utf-8")
        tab.open(path)
        tab.click("a.behind")
        tab.click(".panel .run > summary")
        assert name in tab.evaluate("document.querySelector('.panel').textContent")
        assert tab.evaluate("[document.scripts.length, document.images.length]") == [1, 1]  # our script, our figure
        assert (
            tab.evaluate("[...document.querySelectorAll('*')].filter(one => one.onmouseover || one.onerror).length")
            == 0
        )
        assert tab.messages == []
        assert tab.requested == [path.as_uri()]


def test_the_content_security_policy_blocks_unescaped_scripts(tab: Tab, made: tuple[Path, list[str]]) -> None:
    bad = made[0].with_name("bad.html")
    slipped = (
        "<script>document.title = 'ran'</script><img src='http://192.0.2.7/x.png' onerror=\"document.title = 'ran'\">"
        "<script src='file:///tmp/x.js'></script><iframe src='file:///'></iframe>"
    )
    bad.write_text(made[0].read_text(encoding="utf-8").replace("<main>", f"<main>{slipped}"), encoding="utf-8")
    tab.open(bad)
    assert tab.evaluate("document.title") != "ran"
    refused = [text for text in tab.messages if "Content Security Policy" in text]
    assert {name for name in ("script-src", "img-src", "frame-src") if any(name in told for told in refused)} == {
        "script-src", "img-src", "frame-src"
    }  # fmt: skip
    assert tab.requested == [bad.as_uri()]
    tab.click(BUTTON.format(1))
    assert tab.evaluate(TITLES)[0] == "S-Tiny"


def test_a_figure_is_rendered_without_requests_and_scripts(tab: Tab, tmp_path: Path) -> None:
    bad = SVG.replace(
        "<text>72.5</text>",
        "<script>top.document.title = 'ran'</script><image href='http://192.0.2.7/x.png' onerror='alert(1)'/>"
        "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='http://192.0.2.7/'/></foreignObject>",
    )
    path = tmp_path / "figure.html"
    inputs = two_backbones(tmp_path / "store")
    path.write_text(page_of(inputs, figures=(PageFigure("f", "c", bad),)), encoding="utf-8")
    tab.open(path)
    assert tab.evaluate("document.images[0].decode().then(() => document.images[0].naturalWidth)") == 528  # 396 pt
    assert tab.evaluate("document.title") != "ran"
    assert tab.messages == []
    assert tab.requested == [path.as_uri()]


def test_without_scripts_a_number_still_leads_to_its_runs(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(made[0])
        tab.click("a.behind")
        place = tab.evaluate("location.hash")
        assert re.fullmatch(r"#runs-\d+-\d+", place)
        assert tab.evaluate(f"document.querySelector('{place}').closest('details').open") is True
        assert "Without scripts" in tab.evaluate("document.querySelector('noscript').innerText")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_on_a_narrow_screen_only_tables_scroll_sideways(tab: Tab, made: tuple[Path, list[str]]) -> None:
    tab.resize(360, 740)
    try:
        tab.open(made[0], f"#run={made[1][0]}")
        whole = "document.documentElement"
        assert tab.evaluate(f"{whole}.scrollWidth - {whole}.clientWidth") == 0
        assert (
            tab.evaluate("(one => one.scrollWidth > one.clientWidth)(document.querySelector('#table .wide'))") is True
        )
        inside = f"(box => [box.left >= 0, box.right <= {whole}.clientWidth])"
        inside += "(document.querySelector('.panel').getBoundingClientRect())"
        assert tab.evaluate(inside) == [True, True]
    finally:
        tab.resize(1280, 900)


def test_pictures_of_it_in_light_dark_and_narrow_differ(tab: Tab, made: tuple[Path, list[str]], tmp_path: Path) -> None:
    pictures = []
    for name, place, width in (("light", "#theme=light", 1280), ("dark", "#theme=dark", 1280), ("narrow", "", 390)):
        tab.resize(width, 900)
        tab.open(made[0], place)
        pictures.append(tab.screenshot(tmp_path / f"{name}.png"))
    tab.resize(1280, 900)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(set(pictures)) == 3
