"""Files that only their owner may read: those of `openenv serve --tokens`, and those with a token in them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from openenv.errors import ConfigurationError
from openenv.middleware.tokens import KnownTokens, read_entries

__all__ = ["add_entries", "write_secret"]

_PRIVATE: Final = 0o600
_PATIENCE_S: Final = 5.0


def add_entries(path: Path, entries: Mapping[str, Any]) -> int:
    """Add to a file of tokens, which is made where there is none: how many it has now.

    A reader sees the file as it was or as it is, never half of it. What is written first is ``FILE.new``, which is also what
    keeps two writers apart. Nobody but its owner may read the file afterwards; whose it is stays.

    Raises:
        ConfigurationError: The file cannot be read or written, or would make no sense; then it is as it was.
    """
    path = path.resolve()  # a link stays one
    draft = path.with_name(f"{path.name}.new")
    with _claimed(draft, field="into") as file:
        try:
            known = {**(read_entries(path) if path.exists() else {}), **entries}
            KnownTokens(known)
            file.write(f"{json.dumps(known, indent=2)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            _keep_owner(path, file)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise _cannot_write(path, error, "into") from None
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    return len(known)


def write_secret(path: Path, token: str) -> None:
    """Write a token into a new file that only its owner may read. Raises `ConfigurationError` where there is one already."""
    try:
        with _new(path) as file:
            file.write(f"{token}\n".encode())
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already, and may be somebody's token", field="token-file", hint="Name a new file."
        ) from None
    except OSError as error:
        raise _cannot_write(path, error, "token-file") from None


def _claimed(draft: Path, *, field: str) -> BinaryIO:
    """The new file, as soon as no other writer has it."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _new(draft)
        except FileExistsError:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{draft} is there: another command is writing, or was ended while it was",
                    field=field,
                    hint="Remove it when nothing is writing.",
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise _cannot_write(draft, error, field) from None


def _new(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb")


def _keep_owner(path: Path, file: BinaryIO) -> None:
    """A file that root adds to is still the server's."""
    if path.exists() and hasattr(os, "fchown"):
        was, now = path.stat(), os.fstat(file.fileno())
        if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
            os.fchown(file.fileno(), was.st_uid, was.st_gid)


def _cannot_write(path: Path, error: OSError, field: str) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be written: {error.strerror or error}", field=field)
