"""Where rows come from, as configs say it: one place, and no secret among it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.credentials import expanded, masked
from pipeline.errors import ConfigError
from pipeline.tracking import resolved_yaml

SQL = "sql: {url: 'postgresql://u:${PW}@h/d', table: t, watermark: id}"


def load(folder: Path, source: str) -> object:
    path = folder / "s.yaml"
    path.write_text(f"name: s\nsource: {{{source}}}\ncolumns: {{a: {{role: numeric}}}}\n")
    return load_config(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "say where rows come from: `path` .* `sql` .* or `delta`"),
        ("format: csv", "say where rows come from"),
        (f"path: x, {SQL}", "`path` and `sql` exclude each other"),
        ("delta: {path: x}, path: y", "`path` and `delta` exclude each other"),
        ("sql: {url: 'sqlite:///x', watermark: id}", "give either `table` or `query`"),
        (SQL.replace("table: t", "table: t, query: q"), "give either `table` or `query`"),
        (SQL.replace("watermark: id", "wotermark: id"), "did you mean `watermark`"),
        (SQL.replace("watermark", "lookback: -1, watermark"), "greater than or equal to 0"),
        (SQL.replace("watermark", "lookback: .inf, watermark"), "finite"),
        ("delta: {pth: x}", "did you mean `path`"),
        (SQL.replace("${PW}", "hunter2"), "holds a password"),
        (SQL.replace("${PW}", "hunter2${PW}"), "holds a password"),
        (SQL.replace("@h/d", "@h/d?sslpassword=hunter2"), "holds a password"),
        ("sql: 'postgresql://u:hunter2@h/d'", "write the keys `url`, `table`"),
        ("sql: {url: ['postgresql://u:hunter2@h/d'], table: t, watermark: i}", "expected text"),
        ("path: 'https://u:hunter2@h/x.csv'", "holds a password"),
        ("path: ['https://u:hunter2@h/x.csv']", "valid string"),
        ("path: x, options: {client_kwargs: {aws_secret_access_key: hunter2}}", "holds secrets"),
        ("path: x, options: {key: hunter2}", "holds secrets"),
        ("path: x, options: {token: hunter2}", "holds secrets"),
    ],
)
def test_mistakes_are_named_and_secrets_are_not(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, source)
    assert "hunter2" not in str(caught.value)


def test_what_is_logged_names_variables_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "rosebud")
    config = load(tmp_path, f"{SQL}, options: {{secret: '${{PW}}', retries: 3}}")
    text = resolved_yaml(config)  # type: ignore[arg-type]
    assert "postgresql://u:${PW}@h/d" in text
    assert "rosebud" not in text


def test_variables_are_found_at_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "rose/bud")
    assert expanded({"a": ["x${PW}y", 3], "b": {"c": "${PW}"}}, "k") == {
        "a": ["xrose/budy", 3],
        "b": {"c": "rose/bud"},
    }
    said = masked("postgresql://u:p@h/d?password=q&x=1 rose/bud", {"k": "${PW}"})
    assert said == "postgresql://u:***@h/d?password=***&x=1 ***"
