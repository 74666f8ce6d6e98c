"""What sees every operation of every transport: one file each."""

from openenv.middleware.hooks import Hooks
from openenv.middleware.logs import JsonLog
from openenv.middleware.metrics import Metrics

__all__ = ["Hooks", "JsonLog", "Metrics"]
