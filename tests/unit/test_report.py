"""The report of a night: what it says, that it escapes, that it can be written again."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from night_homes import CONFIG, champion_home, deliver

from pipeline import report
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.scoring import score

VOID = {"meta", "br", "link", "img", "hr", "rect", "path"}


class Page(HTMLParser):
    """Text, tags and attributes; complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words).replace("\u00a0", " "))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def two_nights(tmp_path: Path) -> tuple[Home, Config]:
    """A usual night with spoilt rows, then one that has drifted."""
    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=300, seed=1, odd=0.05, spoilt=4)
    assert score(home, config) is not None
    deliver(home, config, "two", rows=300, seed=2, odd=0.4)
    assert score(home, config) is not None
    return home, config


def read(home: Home, config: Config, night_id: int) -> tuple[str, Page]:
    html = report.path_of(home, config.name, night_id).read_text(encoding="utf-8")
    return html, Page(html)


def test_what_it_says(two_nights: tuple[Home, Config]) -> None:
    home, config = two_nights
    _, usual = read(home, config, 1)
    assert re.search(r"\d+ of 300 rows deserve a look", usual.text)
    assert "The promise of at most 5 % false alarms holds" in usual.text
    assert "4 rows were set aside" in usual.text
    assert "amount" in usual.text and "one.csv" in usual.text
    assert "shop, version 1" in usual.text
    assert "300 rows" in usual.text
    assert "labelled anomalies were flagged" in usual.text
    assert re.search(r"amount [\d,.]+ is far above the expected [\d,.]+", usual.text)

    _, drifted = read(home, config, 2)
    assert "The promise of at most 5 % false alarms does not hold tonight" in drifted.text
    assert "rows no longer look like the calibration rows" in drifted.text
    assert "Nothing was set aside" in drifted.text
    assert len(re.findall(r"all values", drifted.text)) == config.alerts.report_rows


def test_each_column_is_drawn_beside_what_the_model_makes_of_it(
    two_nights: tuple[Home, Config],
) -> None:
    html, page = read(*two_nights, 1)
    assert "What the model makes" in page.text
    drawings = re.findall(r'<p class="kicker">(\w+)</p><div class="plot marginal"(.*?)</div>', html)
    assert {name for name, _ in drawings} == set(two_nights[1].features)
    for _, drawing in drawings:
        heights = [float(h) for h in re.findall(r'class="bar"[^>]*height="([\d.]+)"', drawing)]
        assert max(heights) > 20, "bars of real rows"
        line = re.search(r'class="outline" d="M0 100(.+?)V100"', drawing)
        assert line is not None
        tops = [float(top) for top in re.findall(r"V([\d.]+)H", line[1])]
        assert len(tops) == len(heights) and min(tops) < 80, "a line of drawn ones"


def test_calibration_rows_that_are_gone_cost_a_drawing_and_no_report(tmp_path: Path) -> None:
    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=300, seed=1)
    Lake(config, home).open("ingested").delete("_row_id between 601 and 900")
    result = score(home, config)
    assert result is not None
    _, page = read(home, config, 1)
    assert "What the model makes" not in page.text
    assert "rows 601 to 900" in page.text


def test_it_is_self_contained_and_without_scripts(two_nights: tuple[Home, Config]) -> None:
    html, page = read(*two_nights, 2)
    assert "script" not in page.tags
    assert page.links == []
    assert not re.search(r"url\(|@import|https?://", html)


def test_values_of_the_data_are_only_text(two_nights: tuple[Home, Config]) -> None:
    html, page = read(*two_nights, 2)
    assert "<script" not in html
    assert "<script>alert('x')</script>" in page.text


def test_it_can_be_written_again_from_the_tables(two_nights: tuple[Home, Config]) -> None:
    home, config = two_nights
    for night_id in (1, 2):
        path = report.path_of(home, config.name, night_id)
        before = path.read_bytes()
        path.unlink()
        assert report.write(home, config, night_id) == path
        assert path.read_bytes() == before
    assert not list(path.parent.glob("*.part"))


def test_no_such_night_and_an_open_one(tmp_path: Path) -> None:
    from pipeline import nights

    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=10, seed=1)
    with pytest.raises(UserError, match="night 1 of 'shop' does not exist"):
        report.write(home, config, 1)
    nights.resume_or_open(Lake(config, home), version=lambda: 1, stream_start=lambda: 901)
    with pytest.raises(UserError, match="night 1 of 'shop' is still open"):
        report.write(home, config, 1)


def test_a_night_without_labels_alerts_or_expected_anomalies(tmp_path: Path) -> None:
    text = CONFIG.replace("  verdict: {role: label, normal: fine}\n", "  verdict: {role: id}\n")
    text = text.replace("expected_anomaly_share: 0.05, ", "")
    home, config = champion_home(tmp_path, text)
    deliver(home, config, "one", rows=3, seed=11)
    night = score(home, config)
    assert night is not None and night.labels is None
    _, page = read(home, config, 1)
    assert "labelled" not in page.text
    assert "chance alone explains" in page.text


def test_under_fdr_control(tmp_path: Path) -> None:
    text = CONFIG.replace("report_rows: 10", "report_rows: 10, fdr: true")
    home, config = champion_home(tmp_path, text)
    deliver(home, config, "one", rows=300, seed=1, odd=0.1)
    assert score(home, config) is not None
    _, page = read(home, config, 1)
    assert "so that of them, on average, at most 5 % are false" in page.text
