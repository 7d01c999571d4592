"""Sources on real servers, through the real command: PostgreSQL, and files in an S3 store."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from cluster import BUCKET, HOST, PASSWORD, USER, start_object_store, start_postgres
from deltalake import write_deltalake
from lakes import Desk
from small_data import rows

from flows.servers import Children, clean_environment, tool
from pipeline.config import load_config
from pipeline.errors import SourceError
from pipeline.home import Home

TRICKY = "p@ss:w/rd#%41"  # a password that a URL cannot hold as it is
QUICK = "model: {members: 1, hidden: [16], latent_dim: 2}\ntraining: {max_steps: 30}\n"


def vae_anomaly(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*tool("pipeline.cli"), *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environment() | environment,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    with Children() as children:
        yield start_postgres(children, ["shop"])


@pytest.fixture
def shop(postgres: dict[str, str]) -> Iterator[Any]:
    """A connection to an empty database."""
    import psycopg2

    connection = psycopg2.connect(
        host=HOST, port=postgres["PGPORT"], user=USER, password=PASSWORD, dbname="shop"
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS sales CASCADE; CREATE SCHEMA sales")
        yield cursor
    connection.close()


def desk_of(
    folder: Path,
    postgres: dict[str, str],
    watermark: str,
    columns: str,
    more: str = "",
    table: str = "table: sales.orders",
) -> Desk:
    folder.mkdir(exist_ok=True)
    path = folder / "shop.yaml"
    url = f"postgresql://{USER}:${{SHOP_PASSWORD}}@{HOST}:{postgres['PGPORT']}/shop"
    path.write_text(
        f"name: shop\nsource:\n  sql: {{url: '{url}', {table}, watermark: {watermark}{more}}}\n"
        f"columns: {columns}\n"
    )
    desk = Desk(folder, load_config(path), Home(folder / "home"))
    desk.lake.create()
    return desk


@pytest.mark.slow
def test_from_a_database_to_a_report_without_a_password_anywhere(
    shop: Any, postgres: dict[str, str], tmp_path: Path
) -> None:
    shop.execute(f"CREATE ROLE reader LOGIN PASSWORD '{TRICKY}'")
    data = rows(600, seed=1)
    kinds = {"double": "double precision", "int64": "bigint", "string": "text"}
    names = [f'"{f.name}" {kinds.get(str(f.type), "timestamptz")}' for f in data.schema]
    shop.execute(f"CREATE TABLE sales.orders (no bigserial, {', '.join(names)})")
    shop.execute("GRANT USAGE ON SCHEMA sales TO reader; GRANT SELECT ON sales.orders TO reader")
    listed = ", ".join(f'"{n}"' for n in data.schema.names)
    holes = ", ".join(["%s"] * data.num_columns)
    fill = f"INSERT INTO sales.orders ({listed}) VALUES ({holes})"
    shop.executemany(fill, [tuple(r.values()) for r in data.to_pylist()])

    url = f"postgresql://reader:${{SHOP_PASSWORD}}@{HOST}:{postgres['PGPORT']}/shop"
    literal = url.replace("${SHOP_PASSWORD}", "hunter2")
    done = vae_anomaly("init", literal, "--table", "sales.orders", folder=tmp_path)
    assert done.returncode == 2
    assert "holds a password" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    done = vae_anomaly("init", url, "--table", "sales.orders", folder=tmp_path)
    assert "needs the environment variable SHOP_PASSWORD" in done.stderr
    done = vae_anomaly("init", url, "--table", "sales.orders", folder=tmp_path, SHOP_PASSWORD="no")
    assert "password authentication failed" in done.stderr
    secret = {"SHOP_PASSWORD": TRICKY}
    done = vae_anomaly("init", url, "--table", "sales.orders", folder=tmp_path, **secret)
    assert "needs a watermark" in done.stderr
    assert "no" in done.stderr.partition("it could be: ")[2]
    done = vae_anomaly(
        "init", url, "--table", "sales.orders", "--watermark", "no", folder=tmp_path, **secret
    )
    assert done.returncode == 0, done.stderr
    config = tmp_path / "vae-anomaly.yaml"
    assert url in config.read_text()
    with config.open("a") as file:
        file.write(QUICK)

    done = vae_anomaly("run", folder=tmp_path, **secret)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "600 rows in: 600 ingested" in done.stdout
    assert done.stderr == ""
    shop.executemany(fill, [tuple(r.values()) for r in rows(50, seed=2).to_pylist()])
    done = vae_anomaly("ingest", folder=tmp_path, **secret)
    assert "50 rows in: 50 ingested" in done.stdout
    done = vae_anomaly("ingest", folder=tmp_path, **secret)
    assert "0 rows in" in done.stdout
    shop.execute("ALTER TABLE sales.orders RENAME TO gone")
    done = vae_anomaly("--debug", "ingest", folder=tmp_path, **secret)
    assert done.returncode == 1
    assert 'relation "sales.orders" does not exist' in done.stderr
    assert TRICKY not in done.stdout + done.stderr
    held = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any(p.name == "mlflow.db" for p in held)
    assert [p for p in held if TRICKY.encode() in p.read_bytes()] == []


@pytest.mark.parametrize(
    ("kind", "marks", "late", "lookback"),
    [
        ("integer", ["1", "2", "7"], "5", "2"),
        ("bigint", ["-9", "0", "4611686018427387904"], "4611686018427387900", "4"),
        ("numeric(20,0)", ["1", "2", "7"], "6", "1"),
        ("date", ["0001-01-02", "2024-01-01", "2024-03-01"], "2024-02-28", "2"),
        ("timestamp", ["1969-12-31 23:59:59.999999", "2024-01-01", "2024-01-01 00:00:01"],
         "2024-01-01 00:00:00.5", "0.5"),
        ("timestamptz", ["2024-01-01 00:00+05", "2024-01-01 00:00+00", "2024-01-01 00:00-05"],
         "2024-01-01 04:00+00", "3600"),
    ],
)  # fmt: skip
def test_watermarks_of_every_kind(
    shop: Any,
    postgres: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    marks: list[str],
    late: str,
    lookback: str,
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    shop.execute(f"CREATE TABLE sales.orders (mark {kind}, x numeric)")

    def add(*marks: str) -> None:
        shop.executemany("INSERT INTO sales.orders VALUES (%s, 0.5)", [(m,) for m in marks])

    add(*reversed(marks))
    desk = desk_of(tmp_path, postgres, "mark", "{x: {role: numeric}}")
    assert desk.ingest().ingested == 3
    numbers = [r["_source_row"] for r in sorted(desk.rows("ingested"), key=lambda r: r["_row_id"])]
    assert numbers == sorted(numbers)
    add(marks[-1])
    assert desk.ingest().ingested == 1
    add(late)
    with pytest.raises(SourceError, match="holds 1 rows with `mark` below"):
        desk.ingest().raise_if_refused()
    desk = desk_of(tmp_path, postgres, "mark", "{x: {role: numeric}}", f", lookback: {lookback}")
    assert desk.ingest().ingested == 1
    again = desk.ingest()
    assert (again.rows_in, again.refused_files) == (0, [])


def test_cells_of_every_kind(
    shop: Any, postgres: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    shop.execute(
        "CREATE TABLE sales.orders (no bigint, t timestamptz, n numeric, f real, b boolean, "
        'c numeric(8,2), u uuid, j jsonb, "Odd: %Name" text, a integer[])'
    )
    shop.execute(
        "INSERT INTO sales.orders VALUES "
        "(1, '2024-01-01 01:00+01', 1.25, 0.5, true, 5.00, gen_random_uuid(), '{}', 'é', '{1}'),"
        "(2, 'infinity', 'NaN', 'Infinity', false, 5.50, gen_random_uuid(), '{}', 'ü', '{1}'),"
        "(3, NULL, 12345678901234567890.5, 1, NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    columns = (
        "{t: {role: time, nullable: true}, n: {role: numeric, nullable: true},"
        " f: {role: numeric}, b: {role: binary, nullable: true},"
        " c: {role: categorical, nullable: true}, u: {role: id, nullable: true},"
        " 'Odd: %Name': {role: categorical, nullable: true}}"
    )
    desk = desk_of(tmp_path, postgres, "no", columns)
    result = desk.ingest()
    result.raise_if_refused()
    assert (result.ingested, result.quarantined) == (2, 1)
    rows = sorted(desk.rows("ingested"), key=lambda r: r["_source_row"])
    assert [(r["n"], r["f"], r["b"], r["c"], r["Odd: %Name"]) for r in rows] == [
        (1.25, 0.5, "true", "5", "é"), (12345678901234567890.5, 1.0, None, None, None)
    ]  # fmt: skip
    assert rows[0]["t"].isoformat() == "2024-01-01T00:00:00+00:00"
    assert desk.reasons() == {2: ["`t`: not an ISO 8601 time", "`f`: infinite"]}

    more = columns[:-1] + ", a: {role: numeric, nullable: true}}"
    other = desk_of(tmp_path / "other", postgres, "no", more)
    with pytest.raises(SourceError, match=r"column `a` holds list<.*>, role numeric needs"):
        other.ingest().raise_if_refused()
    with pytest.raises(SourceError, match="has a watermark `f` of type real; it needs whole"):
        desk_of(tmp_path / "other", postgres, "f", columns).ingest().raise_if_refused()
    twice = "query: 'SELECT no, no FROM sales.orders'"
    with pytest.raises(SourceError, match="holds a column twice: no"):
        desk_of(
            tmp_path / "other", postgres, "no", columns, table=twice
        ).ingest().raise_if_refused()


@pytest.mark.slow
def test_files_in_an_object_store(tmp_path: Path) -> None:
    import boto3

    with Children() as children:
        access = start_object_store(children, tmp_path)
        client = boto3.client(
            "s3",
            endpoint_url=access["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret-key",
        )
        table = rows(300, seed=1)
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table, sink)
        text = sink.getvalue().to_pybytes()
        client.put_object(Bucket=BUCKET, Key="landing/a.csv.gz", Body=gzip.compress(text))
        done = vae_anomaly(
            "init", f"s3://{BUCKET}/landing/", "--name", "landing", folder=tmp_path, **access
        )
        assert done.returncode == 0, done.stderr
        assert f'path: "s3://{BUCKET}/landing/"' in (tmp_path / "vae-anomaly.yaml").read_text()
        done = vae_anomaly("ingest", folder=tmp_path, **access)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert f"Files in s3://{BUCKET}/landing" in done.stdout
        assert "300 rows in: 300 ingested" in done.stdout

        sink = pa.BufferOutputStream()
        pq.write_table(rows(20, seed=2), sink)
        client.put_object(Bucket=BUCKET, Key="landing/b.parquet", Body=sink.getvalue().to_pybytes())
        client.put_object(Bucket=BUCKET, Key="landing/readme.md", Body=b"hello")
        client.put_object(Bucket=BUCKET, Key="landing/_tmp/c.csv", Body=b"half")
        done = vae_anomaly("ingest", folder=tmp_path, **access)
        assert "20 rows in: 20 ingested, 0 quarantined; 1 skipped" in done.stdout
        assert f"left out a file of unknown kind: s3://{BUCKET}/landing/readme.md" in done.stdout
        client.put_object(Bucket=BUCKET, Key="landing/a.csv.gz", Body=gzip.compress(text + text))
        done = vae_anomaly("ingest", folder=tmp_path, **access)
        assert done.returncode == 1
        assert "landing/a.csv.gz was ingested before with other content" in done.stderr

        wrong = access | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
        done = vae_anomaly("ingest", folder=tmp_path, **wrong)
        assert done.returncode == 1
        assert f"s3://{BUCKET}/landing/ cannot be read" in done.stderr
        assert "Traceback" not in done.stderr
        assert "secret-key" not in done.stderr

        # a Delta table there, its keys by names of variables in the config
        options = {**{k: v for k, v in access.items() if k != "AWS_SECRET_ACCESS_KEY"}}
        write_deltalake(f"s3://{BUCKET}/feed", rows(30, seed=3), storage_options=access)
        config = (tmp_path / "vae-anomaly.yaml").read_text()
        listed = "".join(f"    {k}: {v!r}\n" for k, v in options.items())
        feed = config.replace(
            f'path: "s3://{BUCKET}/landing/"',
            f"delta: {{path: s3://{BUCKET}/feed}}\n  options:\n{listed}"
            "    AWS_SECRET_ACCESS_KEY: ${STORE_SECRET}\n  #",
        ).replace("name: landing", "name: feed")
        (tmp_path / "feed.yaml").write_text(feed)
        plain = {"STORE_SECRET": "secret-key"}
        assert vae_anomaly("init", "feed.yaml", folder=tmp_path, **plain).returncode == 0
        done = vae_anomaly("ingest", "feed.yaml", folder=tmp_path, **plain)
        assert "30 rows in: 30 ingested" in done.stdout, done.stderr
        assert "AWS_ENDPOINT_URL" not in os.environ
