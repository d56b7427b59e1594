"""How the page looks and reads: themes, phones, languages, and what axe finds in every tab of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Open
from tests.browser.hands import figure, section, still, tool, written

if TYPE_CHECKING:
    from playwright.sync_api import Page

TABS = {"en": ("Library", "Chat", "Write"), "zh": ("图库", "问答", "写作")}


def findings(page: Page) -> list[str]:
    """Serious and critical findings of axe-core, each with the elements it is about."""
    from importlib.resources import files

    still(page)  # what fades in has not its own colours yet
    if not page.evaluate("'axe' in window"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)"
    )
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:300]} {node['failureSummary'][:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_tab(open_page: Open, language: str, scheme: str) -> None:
    page = open_page(locale="zh-CN" if language == "zh" else "en-US", color_scheme=scheme)
    page.locator("#more button").first.click()
    assert findings(page) == []
    page.locator("#instruction textarea").fill("A day on the farm")
    page.locator("#write").click()
    page.locator(".bar .export").wait_for()
    section(page, 0).locator("[data-action=rewrite]").evaluate("e => e.click()")
    page.locator(".offer [data-do=accept]").wait_for()
    figure(page, 0).hover()
    assert findings(page) == []
    page.locator(".empty [data-client=search]").click()
    page.locator("dialog .found").get_by_role("button").first.or_(page.locator("dialog .found p")).first.wait_for()
    assert findings(page) == []
    page.keyboard.press("Escape")
    for name, shown in zip(TABS[language], (".library .card", "#chat form", "#article .sheet"), strict=True):
        page.get_by_role("tab", name=name).click()
        page.locator(shown).first.wait_for()
        assert findings(page) == [], name
    assert open_page.console == []


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("zh", "dark")])
def test_axe_finds_nothing_serious_in_outline_large_and_reading_view(
    open_page: Open, language: str, scheme: str
) -> None:
    page = open_page(locale="zh-CN" if language == "zh" else "en-US", color_scheme=scheme)
    page.locator("#instruction textarea").fill("A day on the farm")
    page.locator("#outline-first").click()
    page.locator(".outline li").nth(2).wait_for()
    assert findings(page) == []
    page.locator(".outline .write").click()
    written(page)
    figure(page, 0).locator("figure img").click()
    page.locator("dialog[open] img").wait_for()
    assert findings(page) == []
    page.keyboard.press("Escape")
    page.locator(".bar [data-client=read]").click()
    page.locator("html.reading").wait_for()
    assert findings(page) == []
    page.keyboard.press("Escape")
    page.locator(".bar .export").wait_for()
    assert open_page.console == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_column_without_sideways_scrolling(open_page: Open, scheme: str) -> None:
    page = open_page.farm(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ink = page.locator(".sheet p").first.evaluate("e => getComputedStyle(e).color")
    paper = page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    light = [sum(map(int, c.removeprefix("rgb(").removesuffix(")").split(","))) for c in (ink, paper)]
    assert (light[0] < light[1]) == (scheme == "light")
    figure(page, 0).locator("figcaption").tap()
    tools = page.locator(".piece.active > .tools").bounding_box()
    assert tools is not None
    assert tools["y"] + tools["height"] == pytest.approx(844, abs=1), "tools stand at the foot of the window"
    for name, shown in (("Library", ".library .card"), ("Chat", "#chat form")):
        page.get_by_role("tab", name=name).click()
        page.locator(shown).first.wait_for()
        still(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_what_the_place_for_a_file_says_is_not_cut_off(open_page: Open) -> None:
    page = open_page()
    page.get_by_text("Illustrate my text").click()
    page.locator("#text-file [data-testid=upload-text]").wait_for()
    page.wait_for_function(
        """() => {
            const place = document.querySelector('#text-file').getBoundingClientRect(), words = document.createRange();
            words.selectNodeContents(document.querySelector('#text-file [data-testid=upload-text]'));
            const shown = words.getBoundingClientRect();
            return shown.height && shown.top > place.top && shown.bottom < place.bottom;
        }""",
        timeout=20_000,
    )


def test_what_was_found_before_fades_while_a_search_goes_on(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.locator(".library .card").first.wait_for()
    page.locator(".library .cards").evaluate("e => e.setAttribute('aria-busy', 'true')")
    page.wait_for_function("getComputedStyle(document.querySelector('.library .cards')).opacity < 0.5")
    still(page)
    assert page.locator(".library .cards").evaluate("e => getComputedStyle(e).opacity") == "0.4"


def test_tools_never_move_the_text(open_page: Open) -> None:
    page = open_page.farm()
    tops = "[...document.querySelectorAll('.sheet .piece')].map(e => e.getBoundingClientRect().top + scrollY)"
    page.mouse.move(2, 2)
    before = page.evaluate(tops)
    for block in (section(page, 0), figure(page, 0), section(page, 1)):
        block.hover()
        assert page.evaluate(tops) == before


def test_the_theme_is_chosen_and_kept(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    page.wait_for_function(f"{paper} === '{dark}'")


def test_a_chinese_browser_gets_a_chinese_page_and_the_choice_is_kept(open_page: Open) -> None:
    page = open_page(locale="zh-CN")
    page.get_by_role("button", name="开始写").wait_for()
    page.get_by_role("textbox", name="想写一篇关于什么的文章？").fill("如何养好一只宠物")
    page.get_by_role("button", name="开始写").click()
    page.locator(".bar .export").wait_for()
    assert page.locator(".sheet .vignette").first.get_attribute("lang") == "zh"
    assert page.locator(".sheet .credit").first.inner_text() == "图片：A. Author，CC BY 4.0"
    page.locator("#ui-language").get_by_text("EN").click()
    page.locator(".bar").get_by_text("Export").wait_for()
    page.reload()
    page.get_by_role("button", name="New article").wait_for()
    page.locator(".bar").get_by_text("Export").wait_for()


def test_the_waits_say_how_far_they_are(open_page: Open, server: Any) -> None:
    page = open_page()
    server.hold_after(70)
    page.locator("#instruction textarea").fill("A slow story")
    page.locator("#write").click()
    page.locator(".status .time", has_text=" s").wait_for()
    page.wait_for_function("document.querySelector('.status .time')?.textContent.includes('left')")
    assert "words" in page.locator(".status .share").inner_text()
    server.pace.set()
    page.locator(".bar .export").wait_for()
    tool(page, section(page, 0), "Edit")


def test_the_page_loads_nothing_from_elsewhere(open_page: Open, tmp_path: Path) -> None:
    page = open_page.farm()  # open_page itself watches every request
    assert page.evaluate("performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))")
