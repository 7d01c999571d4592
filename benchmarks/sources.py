"""Rows out of a database: how fast they are read and ingested, and in how much memory.

    python -m benchmarks.sources --rows 10000000 [--postgres postgresql://USER@HOST/DATABASE]

Makes a table of six columns with an index on its watermark, in SQLite below the temporary folder
and in the PostgreSQL database that is named, where the user must be allowed to make tables. Each
measurement is a process of its own, whose peak memory is what the system says of it. `read` gives
Arrow batches to nobody; `ingest` is everything, from the database to both tables. Lines go to
benchmarks/results/sources.csv; the table is printed, for docs/sources.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from benchmarks import markdown
from benchmarks.memory import most_held

FILE = Path(__file__).parent / "results" / "sources.csv"
FIELDS = ["database", "what", "rows", "seconds", "cpu_seconds", "rows_per_second", "peak_mib"]
COLUMNS = """
  id: {role: id}
  at: {role: time, timezone: UTC}
  amount: {role: numeric}
  weight: {role: numeric}
  kind: {role: categorical}
  paid: {role: binary}
"""
MAKE = {
    "sqlite": [
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, amount REAL, weight REAL, "
        "kind TEXT, paid INTEGER)",
        "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {rows}) "
        "INSERT INTO orders SELECT i, strftime('%Y-%m-%d %H:%M:%f', 1.7e9 + i, 'unixepoch'), "
        "abs(random() % 100000) / 100.0, abs(random() % 100000) / 7.0, "
        "'kind ' || abs(random() % 20), abs(random() % 2) FROM g",
    ],
    "postgresql": [
        "DROP TABLE IF EXISTS orders",
        "CREATE TABLE orders AS SELECT i AS id, to_timestamp(1.7e9 + i) AT TIME ZONE 'UTC' AS at, "
        "random() * 1000 AS amount, random() * 1e5 / 7 AS weight, "
        "'kind ' || floor(random() * 20) AS kind, random() < 0.5 AS paid "
        "FROM generate_series(1::bigint, {rows}) AS i",
        "ALTER TABLE orders ADD PRIMARY KEY (id)",
        "ANALYZE orders",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgres", help="URL of a database to make the table in")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measured(args.child[0], Path(args.child[1]))))
        return
    lines = []
    with tempfile.TemporaryDirectory(prefix="sources-") as folder:
        urls = {"sqlite": f"sqlite:///{folder}/orders.db"}
        urls |= {"postgresql": args.postgres} if args.postgres else {}
        for database, url in urls.items():
            make(database, url, args.rows)
            place = Path(folder) / database
            place.mkdir()
            (place / "orders.yaml").write_text(
                f"name: orders\nsource: {{sql: {{url: '{url}', table: orders, watermark: id}}}}\n"
                f"columns: {COLUMNS}"
            )
            for what in ("read", "ingest"):
                lines.append({"database": database, "what": what, **run(what, place)})
                print(lines[-1], flush=True)
    new = not FILE.exists()
    with FILE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerows(lines)
    cells = [[f"{v:,}" if isinstance(v, (int, float)) else v for v in ln.values()] for ln in lines]
    print("\n".join(markdown.table(FIELDS, cells)))


def make(database: str, url: str, rows: int) -> None:
    """A table of so many rows."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in MAKE[database]:
            text = statement.format(rows=rows)
            # psycopg2 takes a lone percent sign for a parameter
            connection.exec_driver_sql(text.replace("%", "%%") if database != "sqlite" else text)
    engine.dispose()


def run(what: str, folder: Path) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sources", "--child", what, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(what: str, folder: Path) -> dict[str, float]:
    """Read or ingest the table, and what that took."""
    from pipeline.config import load_config
    from pipeline.databases import Bounds, opened
    from pipeline.home import Home
    from pipeline.ingest import ingest
    from pipeline.lake import Lake

    config = load_config(folder / "orders.yaml")
    settings = config.source.sql
    assert settings is not None
    home = Home(folder / "home")
    Lake(config, home).create()
    started, cpu = time.perf_counter(), time.process_time()
    if what == "read":
        roles = {name: column.role for name, column in config.columns.items()}
        with opened(settings, folder) as table:
            rows = sum(batch.rows.num_rows for batch in table.batches(roles, Bounds()))
    else:
        rows = ingest(home, config).ingested
    seconds = time.perf_counter() - started
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "rows_per_second": round(rows / seconds),
        "peak_mib": most_held() // 2**20,
    }


if __name__ == "__main__":
    main()
