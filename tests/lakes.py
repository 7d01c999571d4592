"""Small data sets for tests of data at rest: a config, its folder of files, its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config, load_config
from pipeline.home import Home
from pipeline.ingest import IngestResult, ingest
from pipeline.lake import Lake

COLUMNS = """
  id: {role: id}
  t: {role: time, nullable: true}
  x: {role: numeric}
  y: {role: numeric, nullable: true}
  c: {role: categorical, nullable: true}
  b: {role: binary, values: [no, yes]}
  verdict: {role: label, normal: fine}
  memo: {role: ignore}
"""
HEADER = "id,t,x,y,c,b,verdict,memo"
ROW = {
    "id": "a", "t": "2024-01-02T03:04:05", "x": "1.5", "y": "", "c": "red", "b": "no",
    "verdict": "fine", "memo": "hello",
}  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """One data set in a folder of its own.

    Attributes:
        folder: holds `desk.yaml`, the inbox and the home.
        config: of the data set.
        home: with its tables made.
    """

    folder: Path
    config: Config
    home: Home

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def lake(self) -> Lake:
        return Lake(self.config, self.home)

    def ingest(self) -> IngestResult:
        return ingest(self.home, self.config)

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.inbox / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.lake.read(table).to_pylist()

    def reasons(self) -> dict[Any, list[str]]:
        """Reasons by row number of the file; None for whole files."""
        return {r["_source_row"]: r["reasons"] for r in self.rows("quarantine")}


def make_desk(
    folder: Path, columns: str = COLUMNS, source: str = "", create: bool = True, more: str = ""
) -> Desk:
    """A data set named desk; `source` are further settings of that section."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inbox").mkdir(exist_ok=True)
    path = folder / "desk.yaml"
    path.write_text(
        f"name: desk\nsource: {{path: inbox{source}}}\ncolumns:{columns}\n{more}", encoding="utf-8"
    )
    desk = Desk(folder, load_config(path), Home(folder / "home"))
    if create:
        desk.lake.create()
    return desk


def csv_of(*rows: Mapping[str, str], header: str = HEADER) -> str:
    """CSV text of rows given as changes of `ROW`; ids a, b, c … unless given."""
    lines = [header]
    for number, row in enumerate(rows):
        cells = {**ROW, "id": f"r{number + 1}", **row}
        lines.append(",".join(cells[name] for name in header.split(",")))
    return "\n".join(lines) + "\n"
