"""A real headless Chromium: opens a page, runs a script in it, returns what the script found."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason=(
        "NO BROWSER: the HTML report was not tested; install chromium (Debian: apt-get install"
        " chromium)"
    ),
)

PROBE = """
<script>
"use strict";
(async () => {
  const found = {}, errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  const pause = () => new Promise((done) => setTimeout(done, 60));
  try { await (async () => { %s })(); } catch (error) { errors.push(String(error.stack || error)); }
  const holder = document.createElement("pre");
  holder.id = "found";
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  holder.textContent = JSON.stringify({ found, errors, requests });
  document.body.append(holder);
})();
</script>
"""


def probe(page: Path, script: str, seconds: int = 60) -> dict:
    """Runs `script` (which fills `found`) in the page and returns it.

    Fails on any script error or network request.
    """
    inside = page.with_name(f"{page.stem}.probe.html")
    inside.write_text(
        page.read_text(encoding="utf-8").replace("</body>", PROBE % script + "</body>"),
        encoding="utf-8",
    )
    shown = chromium("--dump-dom", "--virtual-time-budget=8000", inside.as_uri(), seconds=seconds)
    holder = re.search(r'<pre id="found">(.*?)</pre>', shown, re.S)
    assert holder, "the page's script did not come to its end"
    content = json.loads(unescape(holder[1]))
    assert content["errors"] == []
    assert content["requests"] == []
    return content["found"]


def screenshot(page: Path, target: Path, size: str = "1500,900") -> Path:
    """A picture of the page."""
    chromium(
        f"--window-size={size}",
        "--hide-scrollbars",
        "--virtual-time-budget=4000",
        f"--screenshot={target}",
        page.as_uri(),
    )
    return target


def chromium(*arguments: str, seconds: int = 60) -> str:
    assert CHROMIUM is not None
    common = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1500,900",
    )
    return subprocess.run(
        [CHROMIUM, *common, *arguments], capture_output=True, text=True, timeout=seconds, check=True
    ).stdout
