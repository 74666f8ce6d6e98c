"""The middleware that ``openenv serve`` puts around any application: who may come in, and how much they may do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv.errors import ConfigurationError

__all__ = ["Chain", "secret_of"]


@dataclass(frozen=True, slots=True)
class Chain:
    """What the command line asks for."""

    tokens: Path | None = None
    jwt_secret_env: str | None = None
    jwt_audience: str = "openenv"
    rate: float | None = None
    burst: float | None = None
    debug: bool = False

    def put_around(self, app: Any) -> None:
        """Change the application's chain: logging → metrics → authentication → rate limit → its own.

        Raises `ConfigurationError` for what makes no sense.
        """
        from openenv.middleware import BearerAuth, JsonLog, Metrics, RateLimit
        from openenv.runtime.executors import keep_from_workers

        if self.burst is not None and self.rate is None:
            raise ConfigurationError("--burst needs a --rate", field="burst", example="--rate 100 --burst 200")
        pipeline = app.state.openenv.pipeline
        first = [one for one in pipeline.middleware if isinstance(one, (JsonLog, Metrics))]
        rest = [one for one in pipeline.middleware if not isinstance(one, (JsonLog, Metrics))]
        added: list[Any] = []
        if self.tokens is not None or self.jwt_secret_env is not None:
            if any(isinstance(one, BearerAuth) for one in rest):
                raise ConfigurationError(
                    "this application authenticates its callers itself", field="tokens", hint="Leave --tokens and --jwt-… away."
                )
            secret = secret_of(self.jwt_secret_env) if self.jwt_secret_env is not None else None
            if self.jwt_secret_env is not None:
                keep_from_workers(self.jwt_secret_env)
            added.append(BearerAuth(self.tokens, secret=secret, audience=self.jwt_audience))
        if self.rate is not None:
            added.append(RateLimit(self.rate, self.burst))
        for one in first:
            if self.debug and isinstance(one, JsonLog):
                one.write_operations()
        pipeline.use([*first, *added, *rest])


def secret_of(variable: str) -> str:
    """The secret in an environment variable: on a command line everybody on the machine could read it.

    Raises `ConfigurationError` when it is not set.
    """
    secret = os.environ.get(variable)
    if not secret:
        raise ConfigurationError(
            f"the variable {variable} is not set",
            field="jwt_secret_env",
            hint=f"export {variable}=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')",
        )
    return secret
