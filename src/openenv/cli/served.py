"""What ``openenv serve`` serves: made anew in each of its processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from openenv.cli.chain import Chain
from openenv.cli.installed import load_app
from openenv.cli.remote import remote_app
from openenv.errors import ConfigurationError

__all__ = ["Served", "supervise"]


@dataclass(frozen=True, slots=True)
class Served:
    """What ``openenv serve`` was asked to serve, such that every worker can make it anew."""

    environment: str | None = None
    mcp: str | None = None
    name: str | None = None
    mcp_env: tuple[str, ...] = ()
    mcp_timeout: float = 60.0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    chain: Mapping[str, Any] = field(default_factory=dict)
    """`Chain`'s arguments, paths as texts."""

    def application(self) -> Any:
        """The application. Raises `ConfigurationError` where there can be none."""

        if self.mcp is not None and self.environment is None:
            app = remote_app(self.mcp, name=self.name, env=self.mcp_env, timeout_s=self.mcp_timeout)
        elif self.environment is not None and self.mcp is None:
            app = load_app(self.environment)
        else:
            raise ConfigurationError("serve takes an environment or --mcp, and one of the two", hint="openenv serve --help")
        if self.hosts or self.origins:
            app.state.openenv.guard = app.state.openenv.guard.allowing(self.hosts, self.origins)
        tokens = self.chain.get("tokens")
        Chain(**{**self.chain, "tokens": Path(tokens) if tokens is not None else None}).put_around(app)
        return app


def supervise(served: Served, workers: int, *, host: str, port: int, log_level: str, drain_s: float) -> None:
    """Serve with several workers until a signal ends it. Raises `ConfigurationError`."""
    from openenv.server.workers import Supervisor

    command = [sys.executable, "-m", "openenv.cli.worker", str(served.environment or served.name or served.mcp)]
    options = {"served": asdict(served), "log_level": log_level, "drain_s": drain_s}
    Supervisor(command, options, workers, host, port, drain_s).run()
