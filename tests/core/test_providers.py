"""Providers: real containers, a real swarm, and real processes by uv."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from openenv import errors
from openenv.core.containers.runtime import (
    ContainerProvider,
    KubernetesProvider,
    LocalDockerProvider,
    RuntimeProvider,
    UVProvider,
    providers,
)
from openenv.core.containers.runtime.providers import DockerSwarmProvider
from openenv.core.generic_client import GenericEnvClient
from tests.support.docker import DockerDaemon, docker
from tests.support.packages import CI, system_packages

# Of this run alone, whoever else uses the daemon; of a registry that refuses at once, where Docker looks for newer ones.
RUN = uuid.uuid4().hex[:8]
IMAGE = f"127.0.0.1:1/openenv-test-healthy-{RUN}:latest"

ENDING_IMAGE = f"127.0.0.1:1/openenv-test-ending-{RUN}:latest"
ENDING = "echo no licence; exit 3"

# A container's first process hears SIGTERM only where it has asked for it.
SERVER = "trap 'exit 0' TERM; /bin/busybox httpd -f -vv -p 8000 -h /www & wait"


may_install = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def image(docker_daemon: DockerDaemon) -> Iterator[str]:
    """An image of a few files whose server answers ``GET /health``."""
    system_packages("busybox-static")
    busybox = shutil.which("busybox")
    assert busybox is not None
    for name, script in ((IMAGE, SERVER), (ENDING_IMAGE, ENDING)):
        command = json.dumps(["/bin/busybox", "sh", "-c", script])
        docker("import", "--change", f"CMD {command}", "--change", f"LABEL run={RUN}", "-", name, given=_root(busybox))
    yield IMAGE
    docker("rmi", "--force", IMAGE, ENDING_IMAGE)


def _root(busybox: str) -> bytes:
    files = {"bin/busybox": Path(busybox).read_bytes(), "www/health": b'{"status":"healthy"}'}
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, BytesIO(content))
    return archive.getvalue()


def containers(*filters: str) -> list[str]:
    """The names of this run's containers, running or not."""
    chosen = [part for condition in (f"label=run={RUN}", *filters) for part in ("--filter", condition)]
    return docker("ps", "--all", *chosen, "--format", "{{.Names}}").splitlines()


def container_of(url: str) -> str:
    """The name of the container whose server is at this URL."""
    port = url.rpartition(":")[2]
    return docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}")


@may_install
def test_a_container(image: str) -> None:
    with LocalDockerProvider() as provider:
        url = provider.start_container(image, env_vars={"GREETING": "hello you"}, anything="is taken")
        name = container_of(url)
        provider.wait_for_ready(url)
        assert url.startswith("http://127.0.0.1:")
        inspected = json.loads(docker("inspect", name))[0]
        assert "GREETING=hello you" in inspected["Config"]["Env"]
        assert inspected["HostConfig"]["PortBindings"]["8000/tcp"][0]["HostIp"] == "127.0.0.1"
        again = provider.start_container(image)
        assert containers() == [container_of(again)], "one provider has one container"
    assert containers() == []
    provider.stop_container()


@may_install
def test_a_container_at_a_given_port(image: str, free_port: int) -> None:
    provider = LocalDockerProvider()
    assert provider.start_container(image, port=free_port) == f"http://127.0.0.1:{free_port}"
    name = container_of(f"http://127.0.0.1:{free_port}")
    docker("rm", "--force", name)
    provider.stop_container()


@may_install
async def test_a_client_with_a_container_of_its_own(image: str) -> None:
    client = await GenericEnvClient.from_docker_image(image)
    assert client.base_url is not None
    name = container_of(client.base_url)
    assert containers() == [name]
    await client.close()
    assert containers() == []


@may_install
def test_a_container_that_is_never_healthy(image: str) -> None:
    provider = LocalDockerProvider()
    url = provider.start_container(image)
    docker("exec", container_of(url), "/bin/busybox", "rm", "/www/health")
    with pytest.raises(TimeoutError, match=r"not healthy within 2 s; it said: .*/health"):
        provider.wait_for_ready(url, timeout_s=2)
    provider.close()


@may_install
def test_a_container_that_ends_at_once(image: str) -> None:
    with pytest.raises((RuntimeError, TimeoutError), match="no licence"), LocalDockerProvider() as provider:
        provider.wait_for_ready(provider.start_container(ENDING_IMAGE), timeout_s=3)
    assert containers() == []


@may_install
def test_an_image_that_is_not_there(image: str) -> None:
    with pytest.raises(RuntimeError, match="docker run failed") as caught:
        LocalDockerProvider().start_container("127.0.0.1:1/nosuch:1")
    assert isinstance(caught.value, errors.OpenEnvError)


@pytest.fixture
def swarm(docker_daemon: DockerDaemon) -> Iterator[None]:
    """A Docker that is in a swarm, or that a test may put into one."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active":
        yield
        return
    if not docker_daemon.own and not CI:
        pytest.skip("this Docker is in no swarm: run  docker swarm init --advertise-addr 127.0.0.1")
    with pytest.raises(RuntimeError, match="in no swarm"):
        DockerSwarmProvider(auto_init_swarm=False)
    yield
    assert _listening_at(2377) == {"0100007F"}, "a swarm of one listens on 127.0.0.1 only"
    if not docker_daemon.own:
        docker("swarm", "leave", "--force")


def _listening_at(port: int) -> set[str]:
    """The addresses, as the kernel writes them, at which a process of this machine listens on this port."""
    sockets = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    local = [tuple(fields[1].split(":")) for fields in sockets if fields[3] == "0A"]
    return {address for address, number in local if int(number, 16) == port}


def replicas(service: str, number: int) -> list[str]:
    """The names of a service's containers, once there are so many, each of which answers to itself."""
    while True:
        found = containers(f"label=com.docker.swarm.service.name={service}")
        if len(found) == number and all(_answers_itself(name) for name in found):
            return found
        time.sleep(0.1)


def _answers_itself(container: str) -> bool:
    try:
        return "healthy" in docker("exec", container, "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8000/health")
    except subprocess.CalledProcessError:
        return False


@may_install
def test_a_swarm_service(image: str, swarm: None, docker_daemon: DockerDaemon) -> None:
    network = f"openenv-test-{RUN}"
    provider = DockerSwarmProvider(overlay_network=network)
    with pytest.raises(ValueError, match="knows no replica:"):
        provider.start_container(image, replica=1)
    url = provider.start_container(
        image,
        env_vars={"A": "b"},
        cpu_limit="0.5",
        memory_limit="64m",
        labels={"who": RUN},
        constraints=["node.role==manager"],
    )
    port = int(url.rpartition(":")[2])
    name = docker("service", "ls", "--filter", f"label=who={RUN}", "--format", "{{.Name}}")
    specification = json.loads(docker("service", "inspect", name))[0]["Spec"]
    task = specification["TaskTemplate"]
    assert specification["Mode"]["Replicated"]["Replicas"] == 2
    assert task["ContainerSpec"]["Env"] == ["A=b"]
    assert task["Resources"]["Limits"] == {"NanoCPUs": 500_000_000, "MemoryBytes": 64 * 2**20}
    assert task["Placement"]["Constraints"] == ["node.role==manager"]
    assert task["Networks"] == [{"Target": docker("network", "inspect", "--format", "{{.Id}}", network)}]
    assert [port] == [published["PublishedPort"] for published in specification["EndpointSpec"]["Ports"]]
    assert len(replicas(name, 2)) == 2
    if docker_daemon.own or not Path("/proc/net/ip_vs").exists():
        _publish_on_the_node(name, port)
    provider.wait_for_ready(url, 60)
    provider.stop_container()
    assert docker("service", "ls", "--filter", f"label=who={RUN}", "--quiet") == ""
    replicas(name, 0)
    docker("network", "rm", network)


def _publish_on_the_node(service: str, port: int) -> None:
    """Take a port from Swarm's routing mesh, and publish it as a container's own, of which there can be one only.

    The mesh spreads connections with IPVS, which some kernels lack, and leads them there with rules of iptables, which
    the tests' own daemon writes none of. Which of the two publishes the port makes no difference to the provider.
    """
    mode = f"mode=host,published={port},target=8000"
    docker("service", "update", "--detach", "--replicas", "1", "--publish-rm", "8000", "--publish-add", mode, service)


@pytest.mark.parametrize("provider", [LocalDockerProvider, DockerSwarmProvider])
def test_without_docker(provider: Callable[[], ContainerProvider], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="docker is not installed") as caught:
        provider()
    assert isinstance(caught.value, errors.ConfigurationError)


@may_install
def test_without_a_daemon(docker_daemon: DockerDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(RuntimeError, match="No Docker daemon answers"):
        LocalDockerProvider()


@pytest.mark.parametrize(
    ("stops", "goes", "raised"),
    [
        ("echo stop >> {log}; echo it does not listen >&2; exit 1", "echo rm >> {log}", None),
        ("echo stop >> {log}; exec sleep 30", "echo rm >> {log}", None),
        ("echo stop >> {log}; exit 1", "echo rm >> {log}; echo the disk is gone >&2; exit 1", "the disk is gone"),
    ],
)
def test_a_container_that_cannot_be_stopped_is_removed(
    stops: str, goes: str, raised: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a ``docker`` that fails on purpose, or never ends: no daemon does that when it is told to."""
    log = tmp_path / "log"
    program = tmp_path / "docker"
    lines = {"version": "echo 1", "run": "echo made", "port": "echo 127.0.0.1:1", "stop": stops, "rm": goes}
    cases = "".join(f"  {name}) {line.format(log=log)};;\n" for name, line in lines.items())
    program.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    provider = LocalDockerProvider()
    provider.start_container("some/image")
    if "sleep" in stops:
        monkeypatch.setattr(providers, "_COMMAND_TIMEOUT_S", 2.0)
    if raised is None:
        provider.stop_container()
    else:
        with pytest.raises(providers.ProviderError, match=raised):
            provider.stop_container()
    assert log.read_text().split() == ["stop", "rm"]


def test_kubernetes_is_a_name_only() -> None:
    with pytest.raises(TypeError, match="abstract"):
        KubernetesProvider()  # type: ignore[abstract]
    assert issubclass(KubernetesProvider, ContainerProvider)


# Processes.


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a small application, whose server comes from the environment that runs the tests."""
    folder = tmp_path / "project"
    (folder / "server").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "small"\nversion = "1"\n[tool.uv]\npackage = false\n')
    (folder / "server" / "app.py").write_text(
        textwrap.dedent("""
        import os

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                return
            body = os.environ.get("GREETING", "none").encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
        """)
    )
    return folder


@pytest.fixture
def with_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``uvicorn`` be found where this Python's programs are; nothing is downloaded."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("UV_PYTHON", sys.executable)
    monkeypatch.setenv("UV_OFFLINE", "1")


def said_by(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        text: str = response.read().decode()
    return text


def test_a_process(project: Path, with_tools: None) -> None:
    provider = UVProvider(project_path=str(project), host="127.0.0.1", env_vars={"GREETING": "hello"})
    with pytest.raises(RuntimeError, match="not started"):
        provider.base_url  # noqa: B018
    with provider as entered:
        assert entered is provider
        assert said_by(provider.base_url) == "hello"
        with pytest.raises(RuntimeError, match="runs already"):
            provider.start()
        url = provider.base_url
    assert gone(url)
    url = provider.start(env_vars={"GREETING": "again"}, anything="is taken")
    provider.wait_for_ready(30)
    assert said_by(url) == "again"
    provider.stop()
    provider.stop()
    assert gone(url)


def gone(url: str) -> bool:
    try:
        said_by(url)
    except OSError:
        return True
    return False


def test_a_process_of_a_cloned_project(project: Path, with_tools: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        system_packages("git")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.org")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run(["git", *command], cwd=project, check=True, timeout=20)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "clones"))
    (tmp_path / "clones").mkdir()
    with UVProvider(project_path=f"git+file://{project}", host="127.0.0.1") as provider:
        assert said_by(provider.base_url) == "none"
        assert len(list((tmp_path / "clones").iterdir())) == 1
    assert list((tmp_path / "clones").iterdir()) == []
    with pytest.raises(RuntimeError, match="git cannot clone"):
        UVProvider(project_path=f"git+file://{project}/nosuch").start()
    assert list((tmp_path / "clones").iterdir()) == []


def test_a_process_that_does_not_start(project: Path, with_tools: None) -> None:
    provider = UVProvider(project_path=str(project), app="server.nosuch:app", host="127.0.0.1")
    provider.start()
    with pytest.raises(TimeoutError, match=r"has ended; it said: .*nosuch"):
        provider.wait_for_ready(60)
    provider.stop()


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no pyproject\.toml"):
        UVProvider(project_path=str(tmp_path))
    assert issubclass(UVProvider, RuntimeProvider)
