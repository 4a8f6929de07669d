"""Photographs the explorer's pages for the documentation, from a chain that ``flobc run`` or ``flobc up`` has made.

Usage: python -m tests.support.screenshots --dir DIR [--out docs/screenshots]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from playwright.sync_api import Page

from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.serving import WebServer
from flobc.composition.explorer.sources import DirectorySource
from tests.support.browser import PHONE, open_browser, open_page

MAX_BYTES = 150_000
VIEW = {"width": 1000, "height": 860}


def take(page: Page, path: str, file: Path) -> None:
    page.goto(path)
    if page.locator("#checks").count():
        page.wait_for_selector("#checks.good")
    if path == "/":
        page.wait_for_selector(".connection.good")
    page.screenshot(path=file)
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{file} has {size} bytes, more than {MAX_BYTES}; show less on it.")
    print(f"{file}: {size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="a run's directory")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    explorer = Explorer(DirectorySource(options.dir), is_trusted=True)
    server = WebServer(explorer)
    address = server.start("127.0.0.1:0")
    try:
        while explorer.follower.condition.word != "live":
            time.sleep(0.1)
        height = explorer.index.height
        rows = explorer.index.select("SELECT * FROM updates WHERE height = ? ORDER BY score DESC", height)
        with open_browser() as browser, open_page(browser, address) as (page, _):
            page.set_viewport_size(VIEW)
            take(page, "/", options.out / "explorer-overview.png")
            take(page, f"/blocks/{height}", options.out / "explorer-block.png")
            take(page, f"/updates/{rows[0]['id'].hex()}", options.out / "explorer-update.png")
            take(page, f"/trainers/{rows[-1]['trainer'].hex()}", options.out / "explorer-trainer.png")
            page.emulate_media(color_scheme="dark")
            take(page, "/training", options.out / "explorer-training-dark.png")
            page.set_viewport_size(PHONE)
            take(page, "/", options.out / "explorer-phone-dark.png")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
