"""The table and the summary that each run leaves in Prefect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact


def key(*parts: str) -> str:
    """An artifact key; Prefect allows lowercase letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def publish(
    stage: str, name: str, rows: Sequence[Mapping[str, Any]], title: str, facts: Mapping[str, Any]
) -> None:
    """Leave one table and one markdown summary on the present run.

    Args:
        stage: the flow's name; with `name` it makes the keys, so that successive runs line up as
            versions of the same artifact
        name: the data set's name
        rows: the table's rows, all with the same keys
        title: the summary's headline
        facts: what the summary lists, in this order
    """
    create_table_artifact(
        table=[{k: _plain(v) for k, v in row.items()} for row in rows],
        key=key(stage, name, "table"),
        description=title,
    )
    lines = [f"# {title}", "", "| | |", "|---|---|"]
    lines += [f"| {label} | {_cell(value)} |" for label, value in facts.items()]
    create_markdown_artifact("\n".join(lines), key=key(stage, name, "summary"), description=title)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    else:
        text = str(value)
    return text.replace("|", "\\|").replace("\n", " ")
