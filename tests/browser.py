"""Pages in a headless Chromium: what it complains of, what it asks for, and what axe finds on them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 800), (390, 844)
"""Width and height of a window, in CSS pixels."""


@dataclass(frozen=True)
class Visit:
    """A page that is open, and what came of opening it and of everything done on it since."""

    page: Page
    errors: list[str]
    """What the console called an error, and what no script caught."""
    requests: list[str]
    """Addresses it asked for beside files and data: URLs, whether or not its policy let it."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser to visit pages in; skips where there is none.

    As long as it is open, an event loop of Playwright's counts as running in this thread, where `asyncio.run` then
    refuses to start another: close it before tests of other modules begin.
    """
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: install the extra dev")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is on PATH")
    with (
        api.sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, chromium_sandbox=False) as browser,
    ):
        yield browser


@contextlib.contextmanager
def visit(
    browser: Browser, file: Path, scheme: Literal["light", "dark"] = "light", size: tuple[int, int] = DESKTOP
) -> Iterator[Visit]:
    """The page in `file`, loaded in a window of its own that shares nothing with others and has no network."""
    width, height = size
    with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height}, offline=True) as context:
        visited = Visit(context.new_page(), [], [])
        context.on("console", lambda said: visited.errors.append(said.text) if said.type == "error" else None)
        context.on("weberror", lambda raised: visited.errors.append(str(raised.error)))
        context.on("request", lambda asked: None if _is_at_hand(asked.url) else visited.requests.append(asked.url))
        visited.page.goto(file.as_uri())
        yield visited


def _is_at_hand(url: str) -> bool:
    return url.startswith(("file:", "data:"))


def expect(element: Locator) -> LocatorAssertions:
    """Playwright's assertions, which wait for what they claim; here, so that test modules load without playwright."""
    from playwright.sync_api import expect

    return expect(element)


def serious(page: Page) -> list[str]:
    """What axe finds of serious or critical impact, a line per element; unfolds every `<details>` to look there too."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: install the extra dev")
    page.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    # Preloading would fetch a site's style sheets, which its policy forbids.
    options = {"resultTypes": ["violations"], "preload": False}
    return [
        f"{violation['id']} at {' '.join(map(str, node['target']))}: {violation['help']} ({_messages(node)})"
        for violation in axe.Axe().run(page, options=options).response["violations"]
        for node in violation["nodes"]
        if node["impact"] in ("serious", "critical")
    ]


def _messages(node: dict) -> str:
    return "; ".join(check["message"] for check in [*node["any"], *node["all"], *node["none"]])


def overhang(page: Page) -> int:
    """By how many pixels the page is wider than its window: more than none, and all of it scrolls sideways."""
    return page.evaluate("Math.max(0, document.documentElement.scrollWidth - innerWidth)")


def draw_all(page: Page) -> int:
    """Scroll to every figure that shows, so that all are drawn; how many there are."""
    plots = page.locator("div.plot:visible").all()
    for plot in plots:
        plot.scroll_into_view_if_needed()
        expect(plot.locator("svg.marks")).to_be_visible()
    return len(plots)


def tab_to(page: Page, element: Locator) -> None:
    """Presses Tab until the element has the focus; fails if it never gets it."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if element.evaluate("(element) => element === document.activeElement"):
            return
    pytest.fail(f"Tab does not lead to {element}")
