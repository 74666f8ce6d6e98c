"""The databases of a run, kept once each under the SHA-256 of their bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from pathlib import Path

from openenv.errors import ConfigurationError

__all__ = ["StateStore"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


class StateStore:
    """A folder of ``<sha256>.sqlite.gz`` files; the digest is that of the uncompressed database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, digest: str) -> bool:
        return self._path(digest).is_file()

    def put(self, image: bytes, digest: str) -> None:
        """Keep a database, unless it is there already.

        Raises `ConfigurationError` when the bytes do not have this digest: what was graded would not be what is kept.
        """
        found = hashlib.sha256(image).hexdigest()
        if found != digest:
            raise ConfigurationError(
                f"The database that the server sent has the digest {found}, but it graded {digest}",
                hint="Something else acts in the evaluation's session.",
            )
        path = self._path(digest)
        if path.is_file():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        # Another trial may write the same state: each writes a file of its own and moves it into place.
        draft = path.with_name(f"{path.name}.{os.getpid()}.{id(image):x}.part")
        try:
            draft.write_bytes(gzip.compress(image, compresslevel=6, mtime=0))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def get(self, digest: str) -> bytes:
        """The database with this digest. Raises `ConfigurationError` when it is missing or damaged."""
        path = self._path(digest)
        try:
            image = gzip.decompress(path.read_bytes())
        except FileNotFoundError:
            raise ConfigurationError(f"{path} is missing", hint="The folder states/ belongs beside results.jsonl.") from None
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from error
        if hashlib.sha256(image).hexdigest() != digest:
            raise ConfigurationError(f"{path} is damaged: its bytes do not have the digest that names it")
        return image

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ConfigurationError(f"{digest[:80]!r} is not a SHA-256 digest in hexadecimal", field="digest")
        return self._folder / f"{digest}.sqlite.gz"
