"""Settings that are given in Python, held to the limits of a config's sections."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.settings import Section

__all__ = ["within_limits"]

KINDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "True or False"),
    str: ("text", "texts"),
}
BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}


def within_limits(
    section: type[Section], given: Mapping[str, Any], spelled: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Settings as the section has them, with Python's own numbers and tuples.

    Unlike in a config, text is no number here: nobody typed it into a file.

    Args:
        section: whose limits hold.
        given: values by name; all names are fields of the section.
        spelled: what messages call a setting; others go by their own name.

    Raises:
        ValueError: one is out of its limits; says which, what it was and what is allowed.
    """
    plain = {name: _plain(value) for name, value in given.items()}
    try:
        checked = section.model_validate(plain, strict=True)
    except ValidationError as error:
        raise ValueError(_said(section, error.errors()[0], given, spelled or {})) from None
    return {name: getattr(checked, name) for name in given}


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, and any sequence but text as a tuple."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    return tuple(_plain(one) for one in value) if isinstance(value, (list, tuple)) else value


def _said(
    section: type[Section],
    error: ErrorDetails,
    given: Mapping[str, Any],
    spelled: Mapping[str, str],
) -> str:
    own = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:  # of several settings together; it names them
        return own
    name = str(error["loc"][0])
    if error["type"] == "value_error":
        return f"{spelled.get(name, name)}: {own}"
    return f"{spelled.get(name, name)} must be {_allowed(section, name)}, got {given[name]!r}"


def _allowed(section: type[Section], name: str) -> str:
    field = section.model_fields[name]
    return _in_words(field.annotation, field.metadata)


def _in_words(kind: Any, limits: Any = (), many: bool = False) -> str:
    """A type with its limits, such as "a number above 0 and below 1"."""
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        return _in_words(parts[0], parts[1:], many)
    if get_origin(kind) in (types.UnionType, Union):
        return " or ".join("None" if p is type(None) else _in_words(p, limits) for p in parts)
    if get_origin(kind) is tuple:
        count = "" if parts[-1] is Ellipsis else f"{len(parts)} "
        return f"a sequence of {count}{_in_words(parts[0], many=True)}"
    if kind not in KINDS:
        return " or ".join(map(repr, parts))
    bounds = [
        f"{word} {getattr(limit, key):g}"
        for limit in limits
        for key, word in BOUNDS.items()
        if getattr(limit, key, None) is not None
    ]
    return " ".join([KINDS[kind][many], " and ".join(bounds)]).strip()
