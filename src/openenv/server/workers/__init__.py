"""One server of several processes: a supervisor, and workers that hand connections to each other."""

from openenv.server.workers.supervisor import Supervisor
from openenv.server.workers.worker import WorkerServer

__all__ = ["Supervisor", "WorkerServer"]
