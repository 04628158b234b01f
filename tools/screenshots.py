"""Take the pictures of the page for the documentation: docs/page.png, page-source.png, page-phone.png.

    python tools/screenshots.py [--model rankrag-135m] [--to docs]

Runs `rankrag serve` over the Python language reference of this interpreter, as `make demo` indexes it, and
asks in Chromium. Needs the groups and extras of `make check`, and Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from demo import write_reference

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

QUESTION = "What does the with statement do?"
PICTURES = ("page.png", "page-source.png", "page-phone.png")
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


@contextlib.contextmanager
def serving(folder: Path, model: str) -> Iterator[str]:
    """Index the reference, run `rankrag serve` over it and give its URL."""
    rankrag = [sys.executable, "-m", "rankrag"]
    write_reference(folder / "python-reference")
    place = ["--index", "index"]
    subprocess.run([*rankrag, "index", "python-reference", *place], check=True, cwd=folder)
    command = [*rankrag, "serve", *place, "--model", model, "--port", "0"]
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, cwd=folder)
    try:
        while " at http" not in log.read_text():
            if process.poll() is not None:
                raise SystemExit(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield log.read_text().split(" at ")[1].split(",")[0]
    finally:
        process.terminate()
        process.wait(60)


def asked(browser: Browser, url: str, size: dict[str, int], scheme: str) -> Page:
    """Open the page, ask, and wait for the whole answer."""
    page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=1.5)  # type: ignore[arg-type]
    page.set_default_timeout(180_000)
    page.goto(url)
    page.get_by_test_id("ask-input").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_test_id("passage").first.wait_for()
    page.get_by_test_id("stop-button").wait_for(state="hidden")
    return page


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "docs")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), chosen.model) as url,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = asked(browser, url, DESKTOP, "light")
        page.screenshot(path=chosen.to / "page.png")
        page.get_by_test_id("citation").first.click()
        page.get_by_test_id("source-panel").wait_for()
        # A busy machine would be caught while the panel fades in.
        page.screenshot(path=chosen.to / "page-source.png", animations="disabled")
        asked(browser, url, PHONE, "dark").screenshot(path=chosen.to / "page-phone.png")
        browser.close()
    for name in PICTURES:
        small(chosen.to / name)


def small(path: Path) -> None:
    """Write a picture again with 192 colours: a third of the size, and no eye sees it."""
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    picture.quantize(192, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
