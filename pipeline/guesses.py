"""What a column probably is, from its name and its cells."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import RESERVED
from pipeline.schema import fits_role
from pipeline.settings import Role
from pipeline.values import is_text, numbers, text_categories, texts, times

ROLES: tuple[Role, ...] = ("time", "numeric", "categorical", "binary", "id")  # that are guessed
FEW_UNREADABLE = 0.01  # share of cells that a number or time column may spoil
MOST_CATEGORIES = 1000
LABEL_NAMES = (
    "label", "labels", "is_anomaly", "anomaly", "is_outlier", "outlier", "attack", "attack_cat",
    "is_attack", "fraud", "is_fraud", "isfraud", "fraudfound_p", "failure", "machine_failure",
    "is_failure", "target", "class", "outcome", "y",
)  # fmt: skip
NORMAL_WORDS = ("normal", "benign", "no", "n", "0", "false", "ok", "good", "none")
MOST_LABELS = 100
MOST_NUMERIC_LABELS = 20
CODE = re.compile(r"(?:^|_)(?:id|code|type|kind|zip|zipcode|postcode|status|category|class)$")
PANDAS_INDEX = re.compile(r"^__index_level_\d+__$")
DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
IDENTIFIER = re.compile(r"(?:^|_)(?:id|uuid|guid|key|no|nr|number|udi|index|row)$")


@dataclass(frozen=True)
class Guess:
    """Settings of a column, and in words what they rest on where that is worth saying."""

    role: Role
    nullable: bool = False
    timezone: str | None = None
    normal: str | None = None
    values: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None
    comment: str = ""


def guess(name: str, column: pa.Array, cells_are_text: bool, words_for_null: bool) -> Guess:
    """Judge one column by itself.

    Args:
        name: its name.
        column: (N,) cells, typed or text.
        cells_are_text, words_for_null: as `readers.Opened` has them.
    """
    if not any(fits_role(column.type, role) for role in ROLES):
        return Guess("ignore", comment=f"cells of type {column.type} are not supported")
    if cells_are_text:
        spelled = text_categories(column, False, words_for_null)
        if len(spelled.drop_null().unique()) == 2:  # what ingest makes of a binary column
            spelled = text_categories(column, True, words_for_null)
    else:
        spelled = texts(column)
    present = len(column) - spelled.null_count
    if present == 0:
        return Guess("ignore", comment="missing in every row looked at")
    nullable = spelled.null_count > 0
    missing = f"missing in {spelled.null_count:,} of {len(column):,} rows" if nullable else ""
    found = _as_time(column, present) or _as_number(name, column, spelled, present)
    found = found or _as_category(name, spelled, present)
    comment = "; ".join(part for part in (found.comment, missing) if part)
    return replace(found, nullable=nullable, comment=comment)


def settle(guesses: dict[str, Guess]) -> dict[str, Guess]:
    """Leave out what tables cannot hold; of several times and labels keep one each."""
    guesses = _storable(guesses)
    settled = dict(guesses)
    times_found = [n for n, g in guesses.items() if g.role == "time"]
    for name in times_found[1:]:
        comment = f"a second time column; `{times_found[0]}` is the event time"
        settled[name] = Guess("ignore", comment=comment)
    labels = sorted(
        (n for n, g in guesses.items() if _may_be_label(n, g)),
        key=lambda n: LABEL_NAMES.index(n.casefold()),
    )
    for name in labels[1:]:
        settled[name] = Guess("ignore", comment=f"looks like a second label beside `{labels[0]}`")
    for name in labels[:1]:
        found = guesses[name]
        comment = "a guess; never a feature, used to measure. Is `normal` right?"
        settled[name] = Guess("label", found.nullable, normal=found.normal, comment=comment)
    return {n: replace(g, normal=None) if g.role != "label" else g for n, g in settled.items()}


def _storable(guesses: dict[str, Guess]) -> dict[str, Guess]:
    """The guesses without columns whose names cannot be stored, and without a frame's index."""
    found: dict[str, Guess] = {}
    first: dict[str, str] = {}
    for name, one in guesses.items():
        comment = ""
        if name in RESERVED:
            continue  # not even a config can name it
        if not name.strip():
            comment = "has no name"
        elif PANDAS_INDEX.match(name):
            comment = "the index of a pandas frame"
        elif one.role != "ignore" and first.setdefault(name.casefold(), name) != name:
            comment = f"differs from `{first[name.casefold()]}` by case only"
        found[name] = Guess("ignore", comment=comment) if comment else one
    return found


def _may_be_label(name: str, found: Guess) -> bool:
    return name.casefold() in LABEL_NAMES and found.normal is not None


def _as_time(column: pa.Array, present: int) -> Guess | None:
    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        # text that starts like a date; bare numbers such as 20240131 are numbers
        if not is_text(kind):
            return None
        dated = pc.match_substring_regex(column.cast(pa.string()), r"^\s*\d{4}-\d\d-\d\d")
        if pc.sum(dated).as_py() < present * (1 - FEW_UNREADABLE):
            return None
    read = times(column, None)
    unreadable = int(read.unreadable.sum())
    if unreadable > present * FEW_UNREADABLE:
        return None
    naive = bool((~read.aware & read.values.is_valid().to_numpy(zero_copy_only=False)).any())
    parts = []
    if naive and read.aware.any():
        parts.append("mixes stamps with and without a UTC offset: such files are refused")
    elif naive:
        parts.append("no UTC offset in the data: put the zone of the clock that wrote it")
    if unreadable:
        parts.append(f"{unreadable:,} cells are no time and go to quarantine")
    return Guess("time", timezone="UTC" if naive else None, comment="; ".join(parts))


def _as_number(name: str, column: pa.Array, spelled: pa.Array, present: int) -> Guess | None:
    if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):
        return None
    read = numbers(column)
    unreadable = int(read.unreadable.sum())
    if unreadable > present * FEW_UNREADABLE:
        return None
    values = read.values.drop_null().to_numpy(zero_copy_only=False)
    finite = values[np.isfinite(values)]
    spoiled = unreadable + len(values) - len(finite)
    if len(finite) == 0:
        return Guess("ignore", comment="no finite number in the rows looked at")
    whole = bool((finite == np.round(finite)).all())
    distinct = np.unique(finite)
    comment = f"{spoiled:,} cells are no finite number and go to quarantine" if spoiled else ""
    if whole and not spoiled:
        if len(distinct) == 2:
            return _two_valued(spelled)
        if _is_row_number(finite) or (
            len(distinct) == present >= 20 and IDENTIFIER.search(_words(name))
        ):
            return Guess("id", comment="a different number in every row")
        if CODE.search(_words(name)) and len(distinct) <= MOST_CATEGORIES:
            return Guess("categorical", normal=_normal(spelled), comment="a code, by its name")
    normal = _normal(spelled) if whole and len(distinct) <= MOST_NUMERIC_LABELS else None
    return Guess("numeric", normal=normal, comment=comment)


def _as_category(name: str, spelled: pa.Array, present: int) -> Guess:
    found = _by_count(name, spelled, present)
    commas = pc.sum(pc.match_substring_regex(spelled, DECIMAL_COMMA)).as_py() or 0
    if commas > present / 2:
        why = "decimal commas are read as text: deliver numbers with a point"
        return replace(found, comment="; ".join(c for c in (found.comment, why) if c))
    return found


def _by_count(name: str, spelled: pa.Array, present: int) -> Guess:
    distinct = spelled.drop_null().unique()
    if len(distinct) == 2:
        return _two_valued(spelled)
    if len(distinct) == present >= 20:
        if IDENTIFIER.search(_words(name)):
            return Guess("id", comment="a different value in every row")
        return Guess("ignore", comment="a different value in every row")
    if len(distinct) > MOST_CATEGORIES and len(distinct) > present / 5:
        return Guess("ignore", comment=f"{len(distinct):,} different values in {present:,} rows")
    return Guess("categorical", normal=_normal(spelled))


def _two_valued(spelled: pa.Array) -> Guess:
    values = sorted(spelled.drop_null().unique().to_pylist())
    # a count that has only been 0 and 1 so far looks the same
    why = f"only {values[0]} and {values[1]} were seen; a third value goes to quarantine"
    return Guess("binary", normal=_normal(spelled), values=tuple(values), comment=why)


def _normal(spelled: pa.Array) -> str | None:
    """The value that would mean normal, were the column a label; None where it cannot be one."""
    counts = {c["values"]: c["counts"] for c in spelled.drop_null().value_counts().to_pylist()}
    if not 1 <= len(counts) <= MOST_LABELS:
        return None
    by_word = {str(value).casefold(): value for value in counts}
    word = next((w for w in NORMAL_WORDS if w in by_word), None)
    return str(by_word[word] if word else max(counts, key=lambda value: counts[value]))


def _is_row_number(values: np.ndarray) -> bool:
    return len(values) >= 20 and bool((np.diff(values) == 1).all())


def _words(name: str) -> str:
    """VendorID and vendor id become vendor_id."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
