"""What goes wrong with a place that holds tables, said so that a person can mend it.

Delta's own errors are a tree of causes in colour, with whole XML answers in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.fs as fs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from pipeline.errors import StoreError

# pattern in the reason → what to do; the first that fits counts
HINTS = {
    r"scheme is not allowed": "For an http:// endpoint set AWS_ALLOW_HTTP=true as well.",
    r"Unknown scheme": "Give VAE_ANOMALY_HOME as a folder, or as s3://…, gs://… or az://….",
    r"NoSuchBucket|bucket does not exist|ContainerNotFound": "Make the bucket, or correct "
    "VAE_ANOMALY_HOME.",
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|AuthorizationFailure|40[13] ": "Check "
    "the keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) and what they may do: "
    "list, read, write and delete.",
    r"Connect\b|connect error|dns error|timed out|timeout": "Start the store, or correct "
    "AWS_ENDPOINT_URL.",
    r"Account must be specified|token": "Give the store's keys: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, or AZURE_STORAGE_ACCOUNT_NAME and "
    "AZURE_STORAGE_ACCOUNT_KEY.",
}
OTHERWISE = "Look at the rights of that place and at what serves it, then run again."


def reason(error: BaseException) -> str:
    """Why the store refused, on one line: the causes, and of an XML answer its code and message."""
    text = re.sub(r"\x1b\[\d+m", "", str(error))
    said = re.findall(r"<(?:Code|Message)>([^<]*)</", text)
    text = re.sub(r"<\?xml.*", "", text, flags=re.DOTALL)
    causes = [" ".join(cause.split()) for cause in re.split(r"↳|\n", text)]
    return ": ".join(dict.fromkeys(cause for cause in [*causes, *said] if cause))[:600]


def store_error(error: BaseException, what: str) -> StoreError:
    """A `StoreError` that says what could not be done, why, and what to do.

    Args:
        error: as Delta or Arrow raised it.
        what: could not be done, with the place: "cannot read s3://…".
    """
    why = reason(error)
    fitting = (hint for pattern, hint in HINTS.items() if re.search(pattern, why, re.IGNORECASE))
    return StoreError(f"{what}: {why}", hint=next(fitting, OTHERWISE))


def folder_of(uri: str) -> fs.FileSystem:
    """The place of a table, for files beside those that its log names; paths are below it."""
    return fs.PyFileSystem(DeltaStorageHandler(uri))


@contextmanager
def said_plainly(what: str) -> Iterator[None]:
    """Turn Delta's and Arrow's errors of a store into a `StoreError`."""
    try:
        yield
    except (DeltaError, OSError) as error:
        raise store_error(error, what) from error
