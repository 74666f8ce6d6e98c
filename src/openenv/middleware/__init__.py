"""What sees every operation of every transport: one file each."""

from openenv.middleware.bearer import BearerAuth
from openenv.middleware.hooks import Hooks
from openenv.middleware.logs import JsonLog
from openenv.middleware.metrics import Metrics
from openenv.middleware.rate import RateLimit

__all__ = ["BearerAuth", "Hooks", "JsonLog", "Metrics", "RateLimit"]
