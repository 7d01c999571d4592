"""Do a file's columns keep to the config? Asked of the file as a whole, before its rows."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from pipeline.config import Config
from pipeline.errors import SourceError
from pipeline.pictures import may_hold_pictures
from pipeline.readers import RawBatch
from pipeline.values import is_text


def check_names(names: Sequence[str], config: Config) -> list[str]:
    """Extra columns, which are left out; order does not matter, and the label may be absent.

    Raises:
        SourceError: another column of the config is missing, or one is there twice.
    """
    twice = sorted({n for n in names if list(names).count(n) > 1})
    if twice:
        raise SourceError(
            f"holds a column twice: {', '.join(twice)}",
            hint="Give every column a name of its own.",
        )
    missing = [n for n in config.stored if n not in names and n != config.label]
    if missing:
        raise SourceError(_missing(missing, names, config), hint=_delimiter_hint(names, config))
    return [n for n in names if n not in config.columns]


def without_label(names: Collection[str], config: Config) -> str | None:
    """What to say of a file without the label column, whose rows are taken in without labels."""
    if config.label is None or config.label in names:
        return None
    spelled = _spelled([config.label], names, config)[0]
    return f"the label column {spelled} is not there: rows without labels were ingested"


def check_types(schema: pa.Schema, config: Config) -> None:
    """Every column that is there can be read in its role at all.

    Raises:
        SourceError: with column, type found and type expected.
    """
    for name in (n for n in config.stored if n in schema.names):
        kind, role = schema.field(name).type, config.columns[name].role
        if not fits_role(kind, role):
            raise SourceError(
                f"column `{name}` holds {_value_type(kind)}, role {role} needs "
                f"{TYPE_TESTS[role][1]}",
                hint="Convert the column, or change its role in the config.",
            )


def fits_role(kind: pa.DataType, role: str) -> bool:
    """Whether cells of this Arrow type can be read in a role other than `ignore`."""
    kind = _value_type(kind)
    fits, _ = TYPE_TESTS[role]
    return fits(kind) or is_text(kind) or bool(pa.types.is_null(kind))


def check_keys(batch: RawBatch, config: Config) -> None:
    """JSON lines: a required column that no row of the first stretch has is missing altogether.

    Raises:
        SourceError: with the columns.
    """
    names = batch.rows.schema.names
    needed = [n for n in config.stored if not config.columns[n].may_be_missing]
    missing = [n for n in needed if n not in names]
    if missing and batch.rows.num_rows:
        raise SourceError(_missing(missing, names, config), hint=_delimiter_hint(names, config))


def _missing(missing: list[str], names: Sequence[str], config: Config) -> str:
    parts = _spelled(missing, names, config)
    word = "column" if len(missing) == 1 else f"{len(missing)} columns"
    return f"lacks {word} {_listed(parts)}; it has {len(names)}: {_listed(names)}"


def _spelled(missing: list[str], names: Collection[str], config: Config) -> list[str]:
    """Missing columns, each with the name that it may have been misspelt as."""
    spare = [n for n in names if n not in config.columns]
    parts = []
    for name in missing:
        near = difflib.get_close_matches(name.casefold(), [n.casefold().strip() for n in spare], 1)
        found = next((n for n in spare if near and n.casefold().strip() == near[0]), None)
        parts.append(f"`{name}`" + (f" (there is {found!r})" if found else ""))
    return parts


def _delimiter_hint(names: Sequence[str], config: Config) -> str:
    if len(names) == 1:
        for delimiter in (";", "\t", "|", ","):
            if delimiter in names[0]:
                return f"Its cells seem to be separated by {delimiter!r}: set `source.delimiter`."
    return (
        "Deliver the column, or take it out of the config (`role: ignore` before the first ingest)."
    )


def _listed(names: Sequence[str], most: int = 12) -> str:
    text = ", ".join(names[:most])
    return f"{text}, …" if len(names) > most else text


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(
        t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind)
    )


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return _is_number(kind) or _is_time(kind) or bool(pa.types.is_time(kind))


TYPE_TESTS: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "numeric": (_is_number, "numbers or text"),
    "time": (_is_time, "time stamps, dates or ISO 8601 text"),
    "categorical": (_is_plain, "text, numbers, booleans or dates"),
    "binary": (_is_plain, "text, numbers or booleans"),
    "id": (_is_plain, "text or numbers"),
    "label": (_is_plain, "text, numbers or booleans"),
    "condition": (_is_plain, "text, numbers, booleans or dates"),
    "image": (may_hold_pictures, "pixels as lists or bytes, or PNG or JPEG files"),
}
