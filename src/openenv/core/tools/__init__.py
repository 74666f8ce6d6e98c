"""Tools that environments of OpenEnv 0.10 are made with: a Git server's client and a restricted Python."""

from __future__ import annotations

from openenv.core.tools.git_server_client import GitServerClient, RepoInfo
from openenv.core.tools.local_python_executor import PyExecutor

__all__ = ["GitServerClient", "PyExecutor", "RepoInfo"]
