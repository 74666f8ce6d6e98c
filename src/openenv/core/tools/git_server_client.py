"""Working copies of repositories on a Gitea server, one workspace for each task."""

from __future__ import annotations

import ipaddress
import os
import shlex
import shutil
import subprocess
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

__all__ = ["GitServerClient", "RepoInfo"]

# The credentials travel in git's environment: neither in arguments, which every user can list, nor in a file.
HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$OPENENV_GIT_USERNAME" "$OPENENV_GIT_PASSWORD"; }; f'


@dataclass
class RepoInfo:
    """A repository, and where it stands."""

    name: str
    url: str
    commit: str
    clone_url: str


class GitServerClient:
    """Clones repositories from a Gitea server and sets working copies back between tasks.

    Args:
        gitea_url: The server's address, ``http://gitea:3000``.
        username: Whose repositories.
        password: The user's password.
        workspace_dir: Where working copies are put; made when it is missing.
    """

    def __init__(self, gitea_url: str, username: str, password: str, workspace_dir: str = "/workspace") -> None:
        self.gitea_url = gitea_url.rstrip("/")
        self.username = username
        self.password = password
        self.workspace_dir = Path(workspace_dir)
        self.is_ready = False
        parts = urlsplit(self.gitea_url)
        self.domain = parts.hostname or "localhost"
        self.port = parts.port or 3000
        self.workspace_dir.mkdir(parents=True, exist_ok=True)
        self._git_env = self._environment()

    def wait_for_ready(self, timeout: int = 30) -> bool:
        """Whether the server answers within so many seconds; it is asked once a second."""
        end = time.monotonic() + timeout
        while True:
            try:
                self.is_ready = self._get("/").is_success
            except httpx.HTTPError:
                self.is_ready = False
            if self.is_ready or time.monotonic() >= end:
                return self.is_ready
            time.sleep(min(1.0, max(0.0, end - time.monotonic())))

    def list_repositories(self) -> list[dict[str, str]]:
        """The user's repositories: ``name``, ``full_name``, ``clone_url``, ``description``. Raises `RuntimeError`."""
        self._need_server()
        try:
            answer = self._get("/api/v1/user/repos", auth=(self.username, self.password))
        except httpx.HTTPError as error:
            raise RuntimeError(f"{self.gitea_url} did not list repositories: {type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise RuntimeError(f"{self.gitea_url} did not list repositories: HTTP {answer.status_code}: {answer.text[:200]}")
        wanted = ("name", "full_name", "clone_url", "description")
        return [{key: repository.get(key) or "" for key in wanted} for repository in answer.json()]

    def clone_to_workspace(self, repo_name: str, target_dir: str | None = None, commit: str = "main") -> str:
        """Clone afresh, at a commit or a branch; the working copy's folder.

        ``"main"`` leaves it on the branch that the server gives. Raises `RuntimeError` when that fails; then there is no
        working copy.
        """
        self._need_server()
        folder = self._below(target_dir or repo_name)
        if folder.exists():
            shutil.rmtree(folder)
        source = f"{self.gitea_url}/{self.username}/{repo_name}.git"
        self._must("Clone", ["clone", "--", source, str(folder)], self.workspace_dir)
        if commit != "main":
            try:
                self._must("Checkout", ["checkout", _revision(commit), "--"], folder)
            except RuntimeError:
                shutil.rmtree(folder)
                raise
        return str(folder)

    def reset_workspace(self, repo_name: str, commit: str = "main") -> bool:
        """Set a working copy back to a commit, or to where a branch is on the server; changes and new files are gone.

        A commit that is here already needs no server. Raises `RuntimeError` when it fails.
        """
        folder = self._below(repo_name)
        if not folder.is_dir():
            raise RuntimeError(f"Repository not found in workspace: {repo_name}")
        fetched = self._git(["fetch", "--all"], folder)
        wanted = _revision(commit)
        done = self._git(["checkout", "--force", wanted, "--"], folder)
        if done.returncode != 0:
            unfetched = f"\nFetch failed, too: {fetched.stderr}" if fetched.returncode != 0 else ""
            raise RuntimeError(f"Checkout failed: {done.stderr}{unfetched}")
        remote = f"refs/remotes/origin/{wanted}"
        known = self._git(["rev-parse", "--verify", "--quiet", f"{remote}^{{commit}}"], folder).returncode == 0
        self._must("Reset", ["reset", "--hard", remote if known else wanted, "--"], folder)
        self._must("Clean", ["clean", "-fdx"], folder)
        return True

    def execute_git_command(self, command: str, working_dir: str = "") -> tuple[int, str, str]:
        """Run ``git COMMAND`` in a folder of the workspace: exit code, output, errors."""
        try:
            folder = self._inside(working_dir)
        except RuntimeError as error:
            return 1, "", str(error)
        if not folder.is_dir():
            return 1, "", f"Working directory does not exist: {folder}"
        done = self._git(shlex.split(command), folder)
        return done.returncode, done.stdout, done.stderr

    def get_current_commit(self, repo_name: str) -> str:
        """The hash of a working copy's commit. Raises `RuntimeError` when there is none."""
        folder = self._inside(repo_name)
        if not folder.is_dir():
            raise RuntimeError(f"Repository not found: {repo_name}")
        return self._must("rev-parse", ["rev-parse", "HEAD"], folder).strip()

    def workspace_exists(self, repo_name: str) -> bool:
        """Whether there is a working copy of that name."""
        return self._inside(repo_name).is_dir()

    def _inside(self, name: str) -> Path:
        root = self.workspace_dir.resolve()
        folder = (root / name).resolve()
        if not folder.is_relative_to(root):
            raise RuntimeError(f"{name!r} is outside of the workspace {root}")
        return self.workspace_dir / name

    def _below(self, name: str) -> Path:
        folder = self._inside(name)
        if folder.resolve() == self.workspace_dir.resolve():
            raise RuntimeError(f"{name!r} is the workspace itself, not a working copy in it")
        return folder

    def _need_server(self) -> None:
        if not self.is_ready:
            raise RuntimeError(f"The Gitea server at {self.gitea_url} is not ready: call wait_for_ready() first")

    def _get(self, path: str, auth: tuple[str, str] | None = None) -> httpx.Response:
        with httpx.Client(timeout=10.0, trust_env=not _is_loopback(self.domain), auth=auth) as http:
            return http.get(self.gitea_url + path)

    def _must(self, what: str, arguments: list[str], folder: Path) -> str:
        done = self._git(arguments, folder)
        if done.returncode != 0:
            raise RuntimeError(f"{what} failed: {done.stderr or done.stdout}")
        return done.stdout

    def _git(self, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=folder,
                env=self._git_env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError as error:
            raise RuntimeError("git is not installed, or not on the PATH") from error

    def _environment(self) -> dict[str, str]:
        if any(sign in text for text in (self.username, self.password) for sign in "\r\n\0"):
            raise ValueError("A user name and a password must have no line break and no zero byte")
        folder = tempfile.mkdtemp(prefix="openenv-git-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        config = Path(folder, "gitconfig")
        name = self.username.replace("\\", "\\\\").replace('"', '\\"')
        config.write_text(f'[user]\n\tname = "{name}"\n\temail = "{name}@local.env"\n[init]\n\tdefaultBranch = main\n')
        helpers = {"credential.helper": "", f"credential.{self.gitea_url}.helper": HELPER}  # the empty one forgets the system's
        numbered = {"GIT_CONFIG_COUNT": str(len(helpers))}
        for number, (key, value) in enumerate(helpers.items()):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        own = {
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_TERMINAL_PROMPT": "0",
            # A folder that is no working copy must not be taken for a part of a repository that the workspace lies in.
            "GIT_CEILING_DIRECTORIES": str(self.workspace_dir.resolve()),
            "OPENENV_GIT_USERNAME": self.username,
            "OPENENV_GIT_PASSWORD": self.password,
        }
        return {**os.environ, **numbered, **own}


def _revision(commit: str) -> str:
    if not commit or commit.startswith("-"):
        raise RuntimeError(f"{commit!r} is neither a commit nor a branch")
    return commit


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
