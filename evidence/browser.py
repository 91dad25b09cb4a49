"""Chromium without a window, to look at a report as its readers do."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selenium import webdriver

if TYPE_CHECKING:
    from collections.abc import Iterator

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"

OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which needs rights that root in a container has not
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # Whatever a page asks of the network fails.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def missing() -> str:
    """What has to be installed before a browser can be started; empty where nothing has."""
    if not any(shutil.which(name) for name in BROWSERS):
        return f"no browser ({', '.join(BROWSERS)}) was found; install Debian's package chromium"
    if not shutil.which(DRIVER):
        return f"{DRIVER} was not found; install Debian's package chromium-driver"
    return ""


@contextmanager
def started(*, width: int = 1200, height: int = 900) -> Iterator[webdriver.Chrome]:
    """Start a browser with a window of so many pixels, which keeps a log of all requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for option in (*OPTIONS, f"--window-size={width},{height}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=shutil.which(DRIVER))
    )
    try:
        yield driver
    finally:
        driver.quit()
