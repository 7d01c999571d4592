"""Secrets stay in the environment: configs say `${NAME}`, and what is shown says `***`."""

from __future__ import annotations

import os
import re
from typing import Any

from pipeline.errors import SourceError

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
IN_URL = re.compile(r"(?<=://)(?P<user>[^:/@\s]*):(?P<password>[^@\s]*)(?=@)")
IN_QUERY = re.compile(r"(?i)(?<=[?&])(?P<key>[\w.-]*(?:password|secret|token|credential)[\w.-]*)"
                      r"=(?P<value>[^&\s]+)")  # fmt: skip
SECRET_OPTION = re.compile(r"(?i)(?:password|passwd|secret|token|credential|account_key|sas|^key$)")


def expanded(value: Any, where: str) -> Any:
    """The value with each `${NAME}` replaced by the environment variable, at any depth.

    Args:
        value: text, or mappings and lists of text.
        where: the config's key, for the message.

    Raises:
        SourceError: a variable is not set.
    """
    if isinstance(value, dict):
        return {k: expanded(v, where) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [expanded(v, where) for v in value]
    return PLACEHOLDER.sub(lambda m: _variable(m[1], where), value) if _is_text(value) else value


def named(value: Any) -> list[str]:
    """Environment variables that the value asks for, at any depth."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in named(v)]
    if isinstance(value, (list, tuple)):
        return [n for v in value for n in named(v)]
    return PLACEHOLDER.findall(value) if _is_text(value) else []


def holds_secret(url: str) -> bool:
    """Whether a URL holds a password itself, not the name of a variable that does."""
    found = [m["password"] for m in IN_URL.finditer(url)]
    found += [m["value"] for m in IN_QUERY.finditer(url)]
    return any(PLACEHOLDER.sub("", secret) for secret in found)


def secret_options(options: dict[str, Any]) -> list[str]:
    """Keys of storage options whose values should stand in the environment, at any depth."""
    found = []
    for key, value in options.items():
        if isinstance(value, dict):
            found += secret_options(value)
        elif SECRET_OPTION.search(key) and _is_text(value) and PLACEHOLDER.sub("", value):
            found.append(key)
    return found


def masked(text: str, *sources: Any) -> str:
    """The text without passwords in URLs, and without the values of variables that `sources` name.

    Args:
        text: to be shown.
        sources: settings with placeholders.
    """
    values = {os.environ.get(name, "") for name in named(list(sources))}
    for value in sorted(values, key=len, reverse=True):
        # shorter ones would blot out ordinary words, and are no secrets
        if len(value) >= 4:
            text = text.replace(value, "***")
    text = IN_URL.sub(lambda m: f"{m['user']}:***", text)
    return IN_QUERY.sub(lambda m: f"{m['key']}=***", text)


def _variable(name: str, where: str) -> str:
    if name not in os.environ:
        raise SourceError(
            f"needs the environment variable {name}, which `{where}` names and which is not set",
            hint=f"Set {name} where this command runs: for a worker, in its own environment.",
        )
    return os.environ[name]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
