"""The documentation's pages: whole, offline, under a strict policy."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from pipemon.api.docs import CSP, STATIC
from tests.api.conftest import Api

CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if os.access(path, os.X_OK)), None)
VENDOR = STATIC / "vendor"


def test_every_vendored_file_is_the_one_that_was_released() -> None:
    sums = dict(line.split("  ")[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    files = {str(path.relative_to(VENDOR)): path for path in VENDOR.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if name not in ("SHA256SUMS", "README.md")}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == sums
    assert {name.split("/")[0] for name in files if Path(name).name == "LICENSE"} == {n.split("/")[0] for n in files}


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_loads_only_what_is_ours(api: Api, page: str) -> None:
    answer = api.open(page)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == CSP
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    linked = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(linked) >= 3
    for address in linked:
        assert address.startswith(("/static/", "data:"))
        if address.startswith("/static/"):
            assert api.open(address).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|<style", answer.text)


def test_nothing_outside_the_static_folders_is_sent(api: Api) -> None:
    for name in ("vendor/../../api/docs.py", "docs/%2e%2e/%2e%2e/api/docs.py", "vendor/none.js", "vendor"):
        assert api.open(f"/static/{name}").status_code == 404


@pytest.mark.skipif(CHROMIUM is None, reason="the pages were NOT TRIED in a browser: there is no chromium here")
@pytest.mark.parametrize(("page", "shown"), [("/docs", "/api/v1/pipeline/overview"), ("/redoc", "Pipeline")])
def test_P24_both_pages_render_under_the_policy_and_ask_nobody_else(api: Api, page: str, shown: str) -> None:
    import threading

    from playwright.sync_api import sync_playwright
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    origin = f"http://127.0.0.1:{server.server_port}"
    answered: list[str] = []
    refused: list[str] = []
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            tab = browser.new_page(viewport={"width": 1200, "height": 900})
            # What the policy refuses never leaves the browser, and so is never answered.
            tab.on("response", lambda response: answered.append(response.url))
            tab.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
            tab.goto(origin + page)
            tab.get_by_text(shown).first.wait_for(timeout=20_000)
            if folder := os.environ.get("SCREENSHOTS"):
                tab.screenshot(path=f"{folder}/{page.strip('/')}.png")
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    ours = (origin, "data:", "blob:")
    assert [url for url in answered if not url.startswith(ours)] == []
    # Redoc's logo is another host's: our policy refuses it, and nothing else is refused.
    assert [text for text in refused if "redoc" not in text] == []
