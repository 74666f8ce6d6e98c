"""A base for middleware of one's own.

::

    class OnlyMornings(Hooks):
        def before(self, operation: Operation) -> None:
            if datetime.now().hour >= 12:
                raise Forbidden("come back in the morning")
"""

from __future__ import annotations

from openenv.errors import OpenEnvError
from openenv.operation import Connection, Operation, Result


class Hooks:
    """Empty hooks; override those that you need. `openenv.runtime.pipeline` says when each is called."""

    def admit(self, connection: Connection) -> None:
        """Called once per socket or HTTP request."""

    def refused(self, connection: Connection, error: OpenEnvError) -> None:
        """Called when somebody was refused before there was an operation, in reverse order."""

    def before(self, operation: Operation) -> None:
        """Called before each operation."""

    def after(self, operation: Operation, result: Result) -> None:
        """Called after each operation, in reverse order."""
