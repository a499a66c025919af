"""A page as a reader has it: opened from a file in headless Chromium, used, and asked what it shows."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=8000", "--dump-dom"),
)


def use(pages: dict[str, Path], script: str, folder: Path, *, width: int, dark: bool = False) -> dict[str, Any]:
    """What `script` returns (a JSON value) inside each of the pages, side by side in frames of one width.

    The page's own content security policy stays in force; only the hash of the script is added to it.
    """
    assert CHROMIUM is not None
    frames = ""
    for name, page in pages.items():
        inside = f"(async () => {{ const found = await (async () => {{{script}}})();\n" + (
            f"parent.postMessage([{json.dumps(name)}, found], '*'); }})();"
        )
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        text = page.read_text("utf-8").replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        page.with_name(f"used-{name}.html").write_text(
            text.replace("</body>", f"<script>{inside}</script></body>"), "utf-8"
        )
        address = page.with_name(f"used-{name}.html").as_uri()
        frames += f'<iframe src="{address}" style="border: 0; width: {width}px; height: 900px"></iframe>'
    start = folder / "start.html"
    start.write_text(
        f'{frames}<pre id="found"></pre><script>const all = {{}};'
        "onmessage = (e) => { all[e.data[0]] = e.data[1];"
        "document.getElementById('found').textContent = JSON.stringify(all); };</script>",
        "utf-8",
    )
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, *_QUIET, *scheme, f"--user-data-dir={folder / 'profile'}", start.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, flags=re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return dict(json.loads(html.unescape(found[1])))
