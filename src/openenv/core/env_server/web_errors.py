"""What the environment of the web page raises, as typed errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from openenv.errors import ConfigurationError, ExecutionFailed, FactoryFailed, OpenEnvError
from openenv.runtime.raised import is_stopped, text_of

__all__ = ["making", "typed"]

log = logging.getLogger("openenv.core")


@contextmanager
def typed(what: str) -> Iterator[None]:
    """Whatever an environment raises is an `ExecutionFailed` with its text; the traceback is in the log."""
    try:
        yield
    except OpenEnvError:
        raise
    except BaseException as error:
        if is_stopped(error):
            raise
        log.exception("the page's environment: %s", what)
        raise ExecutionFailed(f"{what}: {text_of(error)}") from error


@contextmanager
def making() -> Iterator[None]:
    """Whatever a factory raises is a `FactoryFailed`, without its text; but what the operator has to mend is told."""
    try:
        yield
    except ConfigurationError:
        raise
    except BaseException as error:
        if is_stopped(error):
            raise
        log.exception("the factory of the page's environment raised")
        raise FactoryFailed("The page's environment could not be made.", hint="The server's log says why.") from error
