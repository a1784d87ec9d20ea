"""Both themes have the contrast of WCAG 2.2 AA: each text that a browser shows, and each line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.served_page import Served, serving

from monitor.page.views import plot
from monitor.page.views.style import THEMES

# Success criteria 1.4.3 (text, and text that is large) and 1.4.11 (what is drawn).
TEXT, LARGE, DRAWN = 4.5, 3.0, 3.0
LINES = {*plot.LINES, plot.BID, plot.ASK, plot.MID, plot.BUY, plot.SELL, plot.MARK, plot.BEST}
TABS = (
    *("Watch", "Micro-structure", "Compare", "Health"),
    *("Alerts", "Recordings", "SQL", "Settings"),
)
# Gives every text that is seen with its contrast to what lies behind it, and how much it needs.
TEXTS = """([normal, large]) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const paint = canvas.getContext("2d", {willReadFrequently: true});
    const pixel = (layers) => {
        paint.globalAlpha = 1;
        for (const [color, alpha] of [["#fff", 1], ...layers]) {
            paint.globalAlpha = alpha;
            paint.fillStyle = color;
            paint.fillRect(0, 0, 1, 1);
        }
        return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const part = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = (rgb) => {
        const [r, g, b] = rgb.map((value) => part(value / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const above = (one) => one.assignedSlot ?? one.parentElement ?? one.getRootNode().host;
    const found = [];
    const judge = (element) => {
        const chain = [];
        for (let one = element; one; one = above(one)) chain.unshift(getComputedStyle(one));
        const opacity = chain.reduce((all, style) => all * Number(style.opacity), 1);
        const behind = chain.map((style) => [style.backgroundColor, 1]);
        const style = chain.at(-1), size = parseFloat(style.fontSize);
        const is_large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const lights = [pixel(behind), pixel([...behind, [style.color, opacity]])].map(light);
        const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
        found.push([ratio, is_large ? large : normal, element.innerText || element.value]);
    };
    const walk = (root) => {
        for (const element of root.querySelectorAll("*")) {
            if (element.shadowRoot) walk(element.shadowRoot);
            const own = [...element.childNodes].some(
                (node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
            const also = {visibilityProperty: true, opacityProperty: true};
            const is_seen = element.checkVisibility(also)
                && element.getBoundingClientRect().width > 1;
            // What cannot be used may be pale.
            if ((own || element.value) && is_seen && !element.disabled
                && !["OPTION", "STYLE", "SCRIPT"].includes(element.tagName)) judge(element);
        }
    };
    walk(document);
    return found;
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("contrast"), browser_path) as made:
        yield made


@pytest.mark.browser
@pytest.mark.parametrize("theme", THEMES)
def test_every_text_is_read_in_both_themes(served: Served, theme: str) -> None:
    page = served.open(f"?theme={theme}", height=1000)
    page.locator(".watchlist tbody tr").first.wait_for()
    seen = 0
    for tab in TABS:
        page.locator(".bk-tab", has_text=tab).click()
        page.wait_for_selector(f".bk-tab.bk-active >> text={tab}")
        page.locator(".panel:visible").first.wait_for()
        texts = page.evaluate(TEXTS, [TEXT, LARGE])
        pale = {text: round(ratio, 2) for ratio, least, text in texts if ratio < least}
        assert pale == {}, f"{tab}: {pale}"
        seen += len(texts)
    assert seen > 150
    replay = served.open(f"?theme={theme}&source={served.recording}&speed=0.1%C3%97")
    texts = replay.evaluate(TEXTS, [TEXT, LARGE])
    assert any("REPLAY" in text for _, _, text in texts)
    assert {text: round(ratio, 2) for ratio, least, text in texts if ratio < least} == {}
    page.close()
    replay.close()
    assert served.wrong == []


def luminance(color: str) -> float:
    """By the formula of WCAG."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(a * b for a, b in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_what_is_drawn_stand_out_from_their_ground(theme: str) -> None:
    colors = THEMES[theme]
    pairs = [
        (text, ground)
        for ground in ("bg", "panel", "field", "hover")
        for text in (
            *("text", "strong", "muted", "ok", "info", "idle", "alt", "warn", "bad"),
            *("sell", "ask"),
        )
    ]
    pairs += [(name, f"{name}-bg") for name in ("live", "off", "mock", "replay", "alarm")]
    for text, ground in pairs:
        assert contrast(colors[text], colors[ground]) >= TEXT, f"{text} on {ground}"
    for line in sorted(LINES):
        assert contrast(line, colors["panel"]) >= DRAWN, line
