"""Errors meant for people: a message that says what is wrong and a hint that says what to do."""

from __future__ import annotations


class UserError(Exception):
    """Base of every error that a person can mend; shown without a traceback.

    Args:
        message: what is wrong: the file, column, row count or key, and what was expected.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(UserError):
    """A config that cannot be read, or a key or value in it that makes no sense."""

    exit_code = 2


class SchemaError(UserError):
    """Data, tables or a model whose columns do not fit each other."""


class SourceError(UserError):
    """A file that cannot be read or must not be ingested."""


class TableMissingError(UserError):
    """A Delta table that has not been created yet."""


class TableWriteError(UserError):
    """A Delta table that cannot be written: rights, space, a store that does not answer."""


class StoreError(UserError):
    """An object store, or a folder of tables, that does not answer or refuses to be read."""


class ConflictError(UserError):
    """A table that other writers kept changing for longer than was waited."""


class CountError(UserError):
    """Rows in do not equal rows ingested plus rows quarantined."""


class RegistryError(UserError):
    """A model, version or alias that is not in the registry, or does not fit."""


class TrackingError(UserError):
    """The tracking server or its store cannot be used."""


class NotEnoughRows(UserError):  # noqa: N818
    """Too few rows for what was asked."""


EXTRAPOLATED = 400  # calibration rows from which threshold method pot can


class NotEnoughCalibrationRows(NotEnoughRows, ValueError):  # noqa: N818
    """The calibration part is too small to keep the promised false-alarm rate.

    Args:
        rows: calibration rows there are.
        needed: calibration rows that `alpha` needs.
        alpha: promised false-positive rate.
    """

    def __init__(self, rows: int, needed: int, alpha: float) -> None:
        beyond = rows >= EXTRAPOLATED
        super().__init__(
            f"alpha = {alpha:g} needs at least {needed:,} calibration rows, there are {rows:,}",
            hint="Give more rows (`split.until`, `split.calibration`) or a larger "
            "`threshold.alpha` in the config"
            + (", or extrapolate without a promise: `threshold.method: pot`." if beyond else "."),
        )
        self.rows, self.needed, self.alpha = rows, needed, alpha


class ThresholdError(UserError, ValueError):
    """Calibration scores or labels that a threshold method cannot work with."""


def describe(error: UserError) -> str:
    """The error as a person reads it: message, then hint on a line of its own."""
    text = f"Error: {error.message}"
    return f"{text}\n{error.hint}" if error.hint else text
