"""Detection quality on tables of numbers and categories.

    python -m benchmarks.mixed

The detector gets the data frame as it is, with categories and missing cells; the peers, which
take numbers only, get it one-hot encoded (unknown categories are all zeros), missing numbers at
the mean beside a flag, and standardised. Lines go to benchmarks/results/mixed.csv.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from benchmarks import markdown, mixed_tables, runs, statistics, summary
from benchmarks.adbench import MOST_ROWS
from benchmarks.markdown import Floor, Section, listed, signed
from benchmarks.methods import METHODS, OURS, WARY, Method, Scores

FILE = "mixed.csv"
NATIVE = (OURS,)  # read data frames as they are
COMPARED = [name for name in METHODS if name != WARY]


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA)
    parser.add_argument("--methods", nargs="+", choices=list(COMPARED), default=list(COMPARED))
    args = parser.parse_args()
    sets = args.sets or list(mixed_tables.TABLES)
    unknown = sorted(set(sets) - set(mixed_tables.TABLES))
    if unknown:
        parser.error(f"unknown sets {unknown}; known: {', '.join(mixed_tables.TABLES)}")
    absent = [name for name in sets if not (args.data / mixed_tables.TABLES[name].file).exists()]
    if absent:
        parser.error(f"not in {args.data}: {', '.join(absent)}; give their folder with --data")
    wanted = [
        {"dataset": dataset, "method": method, "seed": seed}
        for dataset in sets
        for seed in args.seeds
        for method in args.methods
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        split = mixed_tables.split(args.data, key["dataset"], key["seed"])
        method = METHODS[key["method"]]
        encoded = method if key["method"] in NATIVE else on_numbers(method)
        return [runs.measure(split, encoded, key["seed"])]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def on_numbers(method: Method) -> Method:
    """A method for arrays as one for data frames."""

    def fit(train: pd.DataFrame, seed: int) -> Scores:
        encoder = encode()
        scorer = method(encoder.fit_transform(train), seed)
        return lambda rows: scorer(encoder.transform(rows))

    return fit


def encode():  # type: ignore[no-untyped-def]
    """Frames of numbers, texts and booleans to standardised float32 rows."""
    texts = OneHotEncoder(
        handle_unknown="ignore", sparse_output=False
    )  # missing: one more category
    numbers = SimpleImputer(add_indicator=True)
    columns = make_column_transformer(
        (texts, make_column_selector(dtype_include=object)),
        (numbers, make_column_selector(dtype_include="number")),
        ("passthrough", make_column_selector(dtype_include=bool)),
    )
    return make_pipeline(columns, StandardScaler(), FunctionTransformer(_contiguous))


def _contiguous(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows, dtype=np.float32)


def section(results: Path, images: Path) -> Section:
    """The same statistics as for the ADBench sets."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    lines = [
        "## Mixed tables",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.mixed`: categorical columns and missing cells native",
            "for the detector; for the peers one-hot encoded, missing numbers at the mean beside",
            "a flag, standardised. Columns have the roles of `configs/`, so ids, labels and what",
            "is known only afterwards are left out. NSL-KDD has its official split (normal",
            "training rows train, KDDTest+ tests); of the others half of the normal rows train",
            f"and all other rows test. At most {MOST_ROWS:,} rows train.",
        ),
        *summary.comparison(done, OURS, COMPARED),
    ]
    return Section(lines, floors(done))


def floors(done: pd.DataFrame) -> list[Floor]:
    kept, _ = statistics.complete(done, OURS)
    if OURS not in set(kept.method) or kept.method.nunique() == 1:
        return []
    table = statistics.per_set(kept, "auroc")
    means, peers = table.mean(), table.drop(columns=OURS)
    best = means.drop(OURS).idxmax()
    lead = means[OURS] - means[best]
    won = list(table.index[table[OURS] >= peers.max(axis=1)])
    measured = f"{means[OURS]:.3f}; {signed(lead)} to {best}; best on {listed(won)}"
    met = lead >= 0 and len(won) == len(table)
    what = "mixed tables, mean AUROC"
    return [Floor(what, "≥ every peer", "best on each", measured, lead >= 0, met)]


if __name__ == "__main__":
    main()
