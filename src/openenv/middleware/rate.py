"""Rate limiting: token buckets, one per principal, and one per address for callers who are refused at the door."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

from openenv.errors import ConfigurationError, OpenEnvError, RateLimited, Unauthenticated
from openenv.operation import Connection, Operation

if TYPE_CHECKING:
    from openenv.middleware.shared_buckets import SharedBuckets

__all__ = ["Buckets", "RateLimit"]


class Buckets:
    """Token buckets by key. Of each only one number is kept: when it is full again. A full one is not kept at all.

    Args:
        rate: Tokens per second.
        burst: Tokens in a full bucket.
        limit: How many are kept. Past it the fuller half is forgotten, which does its owners no harm.
        clock: Seconds, never going back.
        shared: Where the numbers are kept, when this process is not the only one that takes from the buckets.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        limit: int = 10_000,
        clock: Callable[[], float] = monotonic,
        shared: SharedBuckets | None = None,
    ) -> None:
        if not (0 < rate < float("inf") and 0 < burst < float("inf")):
            raise ConfigurationError("a rate and a burst are numbers above zero", field="rate", example="100")
        self._limit = limit
        self._full_at: dict[Hashable, float] = {}
        self._shared = shared
        self.take = self._taking(clock, 1.0 / rate, burst / rate)
        """``take(key, cost)`` takes so many tokens: 0.0 when they were there, else the seconds until they would be, and
        nothing is taken. What costs more than a bucket holds waits for a full one, and the next has to wait the longer."""

    def __len__(self) -> int:
        return len(self._full_at)

    def _taking(self, clock: Callable[[], float], each: float, whole: float) -> Callable[[Hashable, float], float]:
        """A closure and no method: it runs with every step, and finds in half the time what it needs."""
        buckets = self._full_at if self._shared is None else self._shared

        def take(key: Hashable, cost: float) -> float:
            now = clock()
            full_at = buckets.get(key, 0.0)
            if full_at <= now:
                if full_at == 0.0 and len(buckets) >= self._limit:
                    self._forget(now)
                buckets[key] = now + cost * each
                return 0.0
            wait = full_at - now + cost * each - whole
            if wait > 1e-9:
                return min(wait, full_at - now)
            buckets[key] = full_at + cost * each
            return 0.0

        return take

    def _forget(self, now: float) -> None:
        kept = sorted((item for item in self._full_at.items() if item[1] > now), key=lambda item: item[1])
        self._full_at.clear()
        self._full_at.update(kept[max(0, len(kept) - self._limit // 2) :])


class RateLimit:
    """Refuses operations past a rate with `RateLimited`, whatever transport they come by.

    Without authentication everybody is one principal and shares one bucket.

    Args:
        rate: Operations per second and principal (tenant and id).
        burst: How many may come at once; the rate unless given.
        costs: What an operation costs, by its name, where that is not 1. ``close`` costs nothing, so that nobody is kept
            from giving back what he holds.
        refusals: Rate and burst of ``UNAUTHENTICATED`` answers per address (IPv6: per /64); past it they are ``RATE_LIMITED``.
            A valid token is let in all the same.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        rate: float,
        burst: float | None = None,
        *,
        costs: Mapping[str, float] | None = None,
        refusals: tuple[float, float] = (1.0, 20.0),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._rates = (rate, burst if burst is not None else max(rate, 1.0)), refusals
        self._take = Buckets(*self._rates[0], clock=clock).take
        self._costs = {"close": 0.0} | dict(costs or {})
        self._refusals = Buckets(*refusals, clock=clock)

    def __str__(self) -> str:
        rate, burst = self._rates[0]
        return f"a rate limit of {rate:g}/s (burst {burst:g})"

    def share(self, operations: SharedBuckets, refusals: SharedBuckets) -> None:
        """Take from buckets that the workers of a server have together."""
        self._take = Buckets(*self._rates[0], shared=operations).take
        self._refusals = Buckets(*self._rates[1], shared=refusals)

    def before(self, operation: Operation) -> None:
        """Take the operation's cost from its principal's bucket."""
        principal = operation.principal
        cost = self._costs.get(operation.op, 1.0)
        if cost and (wait := self._take((principal.tenant, principal.id), cost)):
            raise _limited("too many operations", wait)

    def refused(self, connection: Connection, error: OpenEnvError) -> None:
        """Take one from the address's bucket."""
        if isinstance(error, Unauthenticated) and (wait := self._refusals.take(_network(connection.client), 1.0)):
            raise _limited("too many attempts without a valid token", wait)


def _limited(what: str, wait: float) -> RateLimited:
    return RateLimited(f"{what}: wait {wait:.3f} s", retry_after_s=wait, hint="Wait for retry_after_s seconds, then go on.")


def _network(client: str | None) -> str:
    """An IPv6 caller has 2**64 addresses to choose from: it is known by its network."""
    if client is None or ":" not in client:
        return client or ""
    try:
        return str(ipaddress.IPv6Network((client.partition("%")[0], 64), strict=False))
    except ValueError:
        return client
