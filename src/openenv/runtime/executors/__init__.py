"""Where a synchronous environment's code runs when it may block: a bounded pool of threads."""

from openenv.runtime.executors.threads import Lane, ThreadPool

__all__ = ["Lane", "ThreadPool"]
