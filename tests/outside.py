"""What the suite needs from outside the project, and where it comes from: a browser, node's tools.

Invariant: what is missing is skipped in one line that says how to get it; but where `CALLBOARD_BROWSER=required`
(as in CI) a missing browser is a failure.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
PLACES = (
    "/usr/bin/chromium",
    "/usr/lib/chromium/chromium",
    "/opt/google/chrome/chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)


NO_BROWSER = (
    "No browser, so no browser tests: get one with `apt-get install chromium` (Debian) or "
    "`.venv/bin/python -m playwright install --with-deps chromium`"
)


def chromium() -> str:
    """A Chromium or Chrome that starts: one that is here, else one obtained as the platform does."""
    path = _chromium()
    if path is None:
        if os.environ.get("CALLBOARD_BROWSER") == "required":
            pytest.fail(NO_BROWSER, pytrace=False)
        pytest.skip(NO_BROWSER)
    return path


@functools.cache
def _chromium() -> str | None:
    for obtain in (None, _from_debian, _from_playwright):
        if obtain is not None:
            obtain()
        for path in _candidates():
            if _starts(path):
                return path
    return None


def _candidates() -> list[str]:
    found = [shutil.which(name) for name in NAMES]
    found += [place for place in PLACES if Path(place).exists()]
    for cache in (Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright"):
        browsers = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", cache))
        found += [str(path) for path in sorted(browsers.glob("chromium-*/*/chrome"), reverse=True)]
        found += [str(path) for path in sorted(browsers.glob("chromium-*/*/*.app/Contents/MacOS/*"), reverse=True)]
    return list(dict.fromkeys(path for path in found if path))


def _starts(path: str) -> bool:
    """Whether it really shows a page: a download without the system's libraries, or Ubuntu's stub, does not."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        answer = _quietly([path, *flags, "--dump-dom", "data:text/html,<p>callboard"], 60)
        return answer is not None and b"callboard" in answer


def _from_debian() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _quietly(["apt-get", "update", "-qq"], 120)
        _quietly(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"], 300)


def _from_playwright() -> None:
    _quietly([sys.executable, "-m", "playwright", "install", "chromium"], 300)


def _quietly(command: list[str], patience: float) -> bytes | None:
    """What the command prints, or None where it fails."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, env=env, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def tsc() -> str:
    """TypeScript's checker."""
    found = shutil.which("tsc")
    if found is None:
        pytest.skip("No tsc: the pages' types were not checked; get it with `npm install --global typescript`")
    return found
