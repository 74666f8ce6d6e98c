"""Where a synchronous environment's code runs when it may block: a bounded pool of threads, or worker processes."""

from openenv.runtime.executors.processes import Processes, ProcessPool
from openenv.runtime.executors.spawning import keep_from_workers
from openenv.runtime.executors.threads import THREADS, Lane, ThreadPool

__all__ = ["THREADS", "Lane", "ProcessPool", "Processes", "ThreadPool", "keep_from_workers"]
