"""The Git server's client, against git's own HTTP server; the restricted Python where it is missing and where it is not."""

from __future__ import annotations

import base64
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from openenv.core.env_server.types import CodeExecResult
from openenv.core.tools import GitServerClient, PyExecutor, RepoInfo

USER = "bob"
PASSWORD = 'p@ss: w/d%$x\\ "q"'
ALONE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"]
    environment = {**os.environ, **ALONE}
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


class Gitea(BaseHTTPRequestHandler):
    """Enough of Gitea: the list of repositories, and git's smart protocol behind basic authentication."""

    root: Path
    broken = False

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        allowed = self.headers.get("authorization") == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if path == "/":
            self.answer(503 if self.broken else 200, b"gitea")
        elif not allowed:
            self.answer(401, b"who?", **{"www-authenticate": 'Basic realm="gitea"'})
        elif path == "/api/v1/user/repos":
            listed = {"name": "repo", "full_name": "bob/repo", "clone_url": "http://h/bob/repo.git", "description": None, "id": 3}
            self.answer(200, json.dumps([listed]).encode())
        else:
            self.backend(path, query, body)

    do_POST = do_GET

    def backend(self, path: str, query: str, body: bytes) -> None:
        environment = {
            **os.environ,
            **ALONE,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_USER": USER,
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        self.answer(status, content, **headers)

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server:
    """The server, and the commits of its repository."""

    def __init__(self, root: Path) -> None:
        source = root / "source"
        source.mkdir(parents=True)
        git(source, "init", "--quiet")
        self.commits = [self._commit(source, number) for number in ("one", "two")]
        self.bare = root / USER / "repo.git"
        git(root, "clone", "--quiet", "--bare", str(source), str(self.bare))
        git(self.bare, "config", "http.receivepack", "true")
        self.handler: type[Gitea] = type("Handler", (Gitea,), {"root": root})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.runs = True

    def _commit(self, source: Path, text: str) -> str:
        (source / "file").write_text(text)
        git(source, "add", "file")
        git(source, "commit", "--quiet", "--message", text)
        return git(source, "rev-parse", "HEAD")

    def stop(self) -> None:
        if self.runs:
            self.runs = False
            self.http.shutdown()
            self.thread.join()
            self.http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    yield made
    made.stop()


@pytest.fixture
def client(server: Server, tmp_path: Path) -> GitServerClient:
    made = GitServerClient(f"{server.url}/", USER, PASSWORD, str(tmp_path / "deep" / "workspace"))
    assert made.wait_for_ready(5)
    return made


def test_repositories_are_listed(client: GitServerClient) -> None:
    assert client.is_ready
    assert client.list_repositories() == [
        {"name": "repo", "full_name": "bob/repo", "clone_url": "http://h/bob/repo.git", "description": ""}
    ]


def test_a_working_copy_at_a_commit(client: GitServerClient, server: Server) -> None:
    first, second = server.commits
    assert not client.workspace_exists("repo")
    folder = Path(client.clone_to_workspace("repo"))
    assert folder == client.workspace_dir / "repo"
    assert client.workspace_exists("repo")
    assert client.get_current_commit("repo") == second
    (folder / "left over").write_text("x")
    assert client.clone_to_workspace("repo", commit=first) == str(folder)
    assert client.get_current_commit("repo") == first
    assert not (folder / "left over").exists()
    other = Path(client.clone_to_workspace("repo", target_dir="task/1"))
    assert (other / "file").read_text() == "two"


def test_a_working_copy_is_set_back(client: GitServerClient, server: Server) -> None:
    folder = Path(client.clone_to_workspace("repo"))
    (folder / "file").write_text("dirty")
    (folder / "new").write_text("x")
    assert client.reset_workspace("repo", server.commits[0])
    assert (folder / "file").read_text() == "one"
    assert not (folder / "new").exists()
    assert client.reset_workspace("repo")
    assert client.execute_git_command("commit --allow-empty -m 'of the task'", "repo")[0] == 0
    assert client.reset_workspace("repo"), "a branch is where the server has it"
    assert client.get_current_commit("repo") == server.commits[1]


def test_a_commit_that_is_here_needs_no_server(client: GitServerClient, server: Server) -> None:
    client.clone_to_workspace("repo")
    server.stop()
    assert client.reset_workspace("repo", server.commits[0])
    with pytest.raises(RuntimeError, match="Fetch failed, too"):
        client.reset_workspace("repo", "no-such-branch")


def test_commands(client: GitServerClient, server: Server) -> None:
    client.clone_to_workspace("repo")
    code, output, errors = client.execute_git_command("log --format=%s", "repo")
    assert (code, output, errors) == (0, "two\none\n", "")
    assert client.execute_git_command("commit --allow-empty -m 'with words'", working_dir="repo")[0] == 0
    assert client.execute_git_command("log -1 --format=%an/%ae/%s", "repo")[1] == "bob/bob@local.env/with words\n"
    assert client.execute_git_command("push origin main", "repo")[0] == 0
    assert git(server.bare, "log", "-1", "--format=%s") == "with words"
    code, _, errors = client.execute_git_command("nonsense", "repo")
    assert code != 0
    assert "nonsense" in errors
    missing = f"Working directory does not exist: {client.workspace_dir}/none"
    assert client.execute_git_command("status", "none") == (1, "", missing)


def test_a_repository_s_own_settings_count(client: GitServerClient) -> None:
    client.clone_to_workspace("repo")
    client.execute_git_command("config user.name alice", "repo")
    client.execute_git_command("commit --allow-empty -m x", "repo")
    assert client.execute_git_command("log -1 --format=%an", "repo")[1] == "alice\n"


def test_the_password_is_in_no_file(client: GitServerClient) -> None:
    folder = Path(client.clone_to_workspace("repo"))
    config = Path(client._git_env["GIT_CONFIG_GLOBAL"])
    assert "bob" in config.read_text()
    assert "p@ss" not in config.read_text() + (folder / ".git" / "config").read_text()
    del client


def test_what_a_client_wrote_goes_with_it(tmp_path: Path) -> None:
    client = GitServerClient("http://127.0.0.1:1", "b", "p", str(tmp_path))
    config = Path(client._git_env["GIT_CONFIG_GLOBAL"])
    assert config.exists()
    del client
    gc.collect()
    assert not config.parent.exists()


def test_what_fails(client: GitServerClient) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Clone failed: .*not found"):
        client.clone_to_workspace("nope")
    with pytest.raises(RuntimeError, match=r"Checkout failed: .*nosuch"):
        client.clone_to_workspace("repo", commit="nosuch")
    assert list(client.workspace_dir.iterdir()) == []
    with pytest.raises(RuntimeError, match="not found in workspace: nope"):
        client.reset_workspace("nope")
    with pytest.raises(RuntimeError, match="Repository not found: nope"):
        client.get_current_commit("nope")


@pytest.mark.parametrize("name", ["../outside", "/", ".", ""])
def test_nothing_outside_of_the_workspace_is_touched(client: GitServerClient, name: str) -> None:
    kept = client.workspace_dir / "kept"
    kept.mkdir()
    with pytest.raises(RuntimeError, match=r"outside of the workspace|the workspace itself"):
        client.clone_to_workspace("repo", target_dir=name or ".")
    with pytest.raises(RuntimeError, match=r"outside of the workspace|the workspace itself"):
        client.reset_workspace(name)
    assert kept.is_dir()
    if name not in (".", ""):
        assert client.execute_git_command("status", name)[0] == 1


def test_a_revision_is_no_option(client: GitServerClient) -> None:
    client.clone_to_workspace("repo")
    for call in (client.reset_workspace, lambda name, commit: client.clone_to_workspace(name, commit=commit)):
        with pytest.raises(RuntimeError, match="neither a commit nor a branch"):
            call("repo", "--orphan=x")


def test_a_folder_is_not_taken_for_a_part_of_the_repository_around_it(server: Server, tmp_path: Path) -> None:
    around = tmp_path / "around"
    around.mkdir()
    git(around, "init", "--quiet")
    client = GitServerClient(server.url, USER, PASSWORD, str(around / "workspace"))
    (client.workspace_dir / "plain").mkdir()
    (client.workspace_dir / "plain" / "kept").write_text("x")
    with pytest.raises(RuntimeError, match="not a git repository"):
        client.reset_workspace("plain", "HEAD")
    assert (client.workspace_dir / "plain" / "kept").exists()


def test_a_server_that_is_not_ready(server: Server, tmp_path: Path) -> None:
    server.handler.broken = True
    client = GitServerClient(server.url, USER, PASSWORD, str(tmp_path / "w"))
    assert client.wait_for_ready(0) is False
    for call in (client.list_repositories, lambda: client.clone_to_workspace("repo")):
        with pytest.raises(RuntimeError, match=r"not ready: call wait_for_ready"):
            call()
    server.handler.broken = False
    assert client.wait_for_ready(5) is True


def test_a_wrong_password(server: Server, tmp_path: Path) -> None:
    client = GitServerClient(server.url, USER, "other", str(tmp_path / "w"))
    client.wait_for_ready(5)
    with pytest.raises(RuntimeError, match="HTTP 401"):
        client.list_repositories()
    with pytest.raises(RuntimeError, match="Authentication failed"):
        client.clone_to_workspace("repo")


def test_credentials_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no line break"):
        GitServerClient("http://127.0.0.1:1", "b\nc", "p", str(tmp_path))


def test_addresses(tmp_path: Path) -> None:
    client = GitServerClient("http://gitea:3001/", "b", "p", str(tmp_path))
    assert (client.gitea_url, client.domain, client.port) == ("http://gitea:3001", "gitea", 3001)
    assert RepoInfo("n", "u", "c", "cl") == RepoInfo(name="n", url="u", commit="c", clone_url="cl")


def test_without_smolagents_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smolagents", None)
    with pytest.raises(ImportError, match="pip install smolagents"):
        PyExecutor()


class Interpreter:
    """What the executor needs of smolagents' interpreter, which comes with some thirty packages."""

    def __init__(self, additional_authorized_imports: list[str]) -> None:
        self.imports = additional_authorized_imports
        self.state: dict[str, Any] = {}

    def send_tools(self, tools: dict[str, Any]) -> None:
        self.state |= tools

    def __call__(self, code: str) -> Any:
        output = eval(code, self.state | {"imports": self.imports})
        return SimpleNamespace(output=output, logs="printed\n" if "safe" in code else "", is_final_answer=False)


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("1 + 1", "2"),
        ("None", ""),
        ("imports", '["math"]'),
        ("{1}", "{1}"),
        ("safe_json_dumps({'a': (1, 2)})", 'printed\n\n"{\\"a\\": [1, 2]}"'),
        ("format_exc()", '"NoneType: None\\n"'),
    ],
)
def test_code_is_run(monkeypatch: pytest.MonkeyPatch, code: str, stdout: str) -> None:
    stand_in: Any = ModuleType("smolagents")
    stand_in.LocalPythonExecutor = Interpreter
    monkeypatch.setitem(sys.modules, "smolagents", stand_in)
    executor = PyExecutor(additional_imports=["math"])
    assert executor.run(code) == CodeExecResult(stdout=stdout, stderr="", exit_code=0)
    failed = executor.run("1 / 0")
    assert (failed.stdout, failed.exit_code) == ("", 1)
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
