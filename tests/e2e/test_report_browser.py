"""The report in a real browser: drawn, readable in light and dark, and quiet on the network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from night_homes import champion_home, deliver

from pipeline.scoring import score

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-features=NetworkTimeServiceQuerying", "--disable-extensions",
    "--hide-scrollbars",
)  # fmt: skip
ALARM = np.array([0xB3, 0x26, 0x1E]) / 255


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser here (looked for {', '.join(NAMES)}); apt install chromium")
    return found


@pytest.fixture(scope="module")
def page(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a night that has drifted, with markup among its data."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home, config = champion_home(folder)
        deliver(home, config, "one", rows=300, seed=2, odd=0.4, spoilt=3)
        night = score(home, config)
    assert night is not None and night.guarantee == "broken"
    return Path(night.report_path)


def run(browser: str, page: Path, folder: Path, *options: str) -> str:
    """What the browser prints."""
    command: Sequence[str] = [
        browser, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shot(browser: str, page: Path, folder: Path, *options: str) -> np.ndarray:
    """(height, width, 3) pixels in [0, 1]."""
    from matplotlib.image import imread

    picture = folder / "page.png"
    run(browser, page, folder, f"--screenshot={picture}", "--window-size=1200,2400", *options)
    return np.asarray(imread(picture))[..., :3]


def near(pixels: np.ndarray, colour: np.ndarray) -> float:
    """Share of pixels of a colour."""
    return float((np.abs(pixels - colour).max(axis=-1) < 0.03).mean())


def test_the_page_as_the_browser_understands_it(browser: str, page: Path, tmp_path: Path) -> None:
    dom = run(browser, page, tmp_path, "--dump-dom").replace("\u00a0", " ").replace("&nbsp;", " ")
    assert "<script" not in dom
    assert "&lt;script&gt;alert('x')&lt;/script&gt;" in dom
    heading = re.search(r"<h1>(.*?)</h1>", dom, re.DOTALL)
    assert heading is not None
    assert "does not hold tonight" in heading.group(1)
    assert dom.count("<svg") >= 4
    assert dom.count("<details>") == 10


def test_it_is_drawn(browser: str, page: Path, tmp_path: Path) -> None:
    pixels = shot(browser, page, tmp_path)
    assert pixels.shape[0] >= 2000
    paper = pixels[2, 2]
    assert paper.min() > 0.9
    assert 0.02 < 1 - near(pixels, paper) < 0.6
    # The headline, the mark of the alert rate and the bars beyond the threshold.
    assert near(pixels, ALARM) > 0.002


def test_it_follows_a_dark_screen(browser: str, page: Path, tmp_path: Path) -> None:
    pixels = shot(browser, page, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert pixels[2, 2].max() < 0.2
    assert (pixels > 0.6).all(axis=-1).mean() > 0.005


def asked(browser: str, page: Path, folder: Path) -> set[str]:
    """Addresses that a page made the browser ask; what the browser asks by itself has no origin."""
    log = folder / "net.json"
    run(browser, page, folder, f"--log-net-log={log}", "--dump-dom")
    text = log.read_text(encoding="utf-8").rstrip().rstrip(",")
    record = json.loads(text if text.endswith("}") else text + "]}")
    events = [event.get("params", {}) for event in record["events"]]
    nobody = "not an origin"
    return {e["url"] for e in events if "url" in e and e.get("initiator", nobody) != nobody}


def test_it_asks_nothing_of_the_network(browser: str, page: Path, tmp_path: Path) -> None:
    assert asked(browser, page, tmp_path) == set()
    other = tmp_path / "other.html"
    other.write_text('<img src="http://127.0.0.1:9/pixel.png">', encoding="utf-8")
    assert asked(browser, other, tmp_path) == {"http://127.0.0.1:9/pixel.png"}
