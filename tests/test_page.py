"""The page at / in a browser, through nginx/proxy.conf. Without Chromium it is skipped.

`scripts/page-pictures` takes the pictures of docs/img with the same two programs.
"""

import json

import pytest

from browser import CHROMIUM, Browser
from page_pair import start_pair

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="SKIPPED: no chromium (Debian's package)")


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    with start_pair(tmp_path_factory.mktemp("pair")) as urls:
        yield urls


@pytest.fixture
def browser(urls, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.show()
        browser.open(urls["https"])
        yield browser


OUT = "document.getElementById('out').textContent"


def log_in(browser, password="password"):
    """With the keyboard alone."""
    browser.run("document.querySelector('input').focus()")
    browser.type("user")
    browser.press("Tab", 9)
    browser.type(password)
    browser.press("Enter", 13, text="\r")


def click(browser, name):
    browser.run(f"[...document.querySelectorAll('button')].find(b => b.textContent == {json.dumps(name)}).click()")


def test_it_tells_of_the_connection(browser, urls):
    known = browser.run("[...document.querySelectorAll('dd')].map(e => e.textContent)")
    assert known[:2] == ["127.0.0.1", "TLSv1.3"] and "X25519" in known[2] and known[3] == "none sent"
    browser.open(urls["http"])
    assert browser.run("[...document.querySelectorAll('dd')].map(e => e.textContent)") == ["not known"] * 4


def test_a_login_gives_a_token_that_opens_secure(browser):
    log_in(browser)
    assert '"sub":"user"' in browser.wait_for(f"{OUT}.includes('claims') && {OUT}")
    click(browser, "Secure with token")
    assert '{"message":"Hello"}' in browser.wait_for(f"{OUT}.includes('200') && {OUT}.includes('GET /secure') && {OUT}")
    click(browser, "Secure with forged token")
    assert 'error="invalid_token"' in browser.wait_for(f"{OUT}.includes('401') && {OUT}")


def test_who_is_refused_sees_why_and_gets_no_dialog(browser):
    log_in(browser, "wrong")
    assert "authorization failed" in browser.wait_for(f"{OUT}.includes('401') && {OUT}")
    assert browser.run("[...document.querySelectorAll('button:disabled')].length") == 2
    click(browser, "Secure without token")
    assert 'Bearer realm="monolith"' in browser.wait_for(f"{OUT}.includes('Bearer') && {OUT}")


def test_nothing_is_loaded_from_elsewhere_and_nothing_breaks_the_policy(browser, urls):
    log_in(browser)
    browser.wait_for(f"{OUT}.includes('claims')")
    asked = {event["params"]["request"]["url"] for event in browser.events
             if event.get("method") == "Network.requestWillBeSent"}
    assert asked == {urls["https"], f"{urls['https']}login"}
    logged = [event["params"]["entry"] for event in browser.events if event.get("method") == "Log.entryAdded"]
    assert [entry["text"] for entry in logged if entry["source"] != "network"] == []
    assert not [event for event in browser.events if event.get("method") == "Runtime.exceptionThrown"]


def test_a_script_that_is_not_the_pages_own_does_not_run(browser):
    browser.run("""{ const s = document.createElement('script'); window.ran = false;
        try { s.text = 'window.ran = true'; document.body.append(s); } catch (_) { } }""")
    assert browser.run("window.ran") is False


def test_every_control_has_a_name_and_can_be_reached_with_the_keyboard(browser):
    browser.run("document.querySelector('details').open = true")
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node["name"]["value"]) for node in nodes
             if not node["ignored"] and node["role"]["value"] in ("button", "textbox", "group", "status", "region", "table")]
    # `details` is a group without a name: its summary has it.
    assert all(name for role, name in named if role != "group"), named
    for expected in (("textbox", "Name"), ("textbox", "Password"), ("button", "Log in"), ("button", "Version"),
                     ("group", "Requests"), ("status", "Response"), ("region", "Who you are"), ("table", "The fields of your request")):
        assert expected in named
    reached = []
    for _ in range(8):
        browser.press("Tab", 9)
        reached.append(browser.run("(e => e.labels?.[0]?.textContent.trim() || e.ariaLabel || e.textContent)(document.activeElement)"))
    assert reached == ["The fields of your request", "Name", "Password", "Log in", "Secure without token", "Version", "Response", "Commands"]


@pytest.mark.parametrize("width", [320, 375, 800])
def test_nothing_runs_out_of_the_side(browser, width):
    browser.show(width=width)
    browser.run("document.querySelector('details').open = true")
    log_in(browser)
    browser.wait_for(f"{OUT}.includes('claims')")
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(browser, scheme):
    """4.5 to 1 (WCAG 2.2, 1.4.3), for every pair of colours on the page."""
    browser.show(scheme)
    names = ("ground", "raised", "text", "soft", "accent", "on")
    raw = {name: browser.run(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')") for name in names}

    def luminance(colour):
        digits = colour.strip().lstrip("#")
        digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
        parts = [int(digits[at:at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for one, other in (("text", "ground"), ("text", "raised"), ("soft", "ground"), ("soft", "raised"), ("accent", "ground"), ("on", "accent")):
        darker, lighter = sorted((luminance(raw[one]), luminance(raw[other])))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (one, other)
