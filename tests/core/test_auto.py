"""Clients and action types by an environment's name, from packages that are installed for the test."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv import errors
from openenv.auto import AutoAction, AutoEnv, _hub
from openenv.auto._discovery import EnvironmentInfo, get_discovery, is_hub_name, reset_discovery
from openenv.client import EnvClient as NativeClient
from openenv.core.env_client import EnvClient
from openenv.core.generic_client import GenericAction, GenericEnvClient
from openenv.core.utils import space_image
from tests.core.clients import Shelf
from tests.support.processes import Server

CLIENT = """
from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.types import State
from .models import BigParrotAction, BigParrotObservation


class BigParrotEnv(EnvClient[BigParrotAction, BigParrotObservation, State]):
    def _step_payload(self, action):
        return {"message": action.message}

    def _parse_result(self, payload):
        told = payload["observation"]
        observation = BigParrotObservation(echoed=told["echoed"], length=told["length"])
        return StepResult(observation=observation, reward=payload.get("reward"), done=payload.get("done", False))

    def _parse_state(self, payload):
        return State(**payload)
"""

MODELS = """
from openenv.core.env_server.types import Action, Observation


class BigParrotAction(Action):
    message: str


class BigParrotObservation(Observation):
    echoed: str
    length: int
"""


def install(site: Path, distribution: str, files: dict[str, str], **told: str) -> None:
    """Put a package into a folder of packages, as an installer does."""
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(textwrap.dedent(text))
    info = site / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir()
    summary = f"Summary: {told['summary']}\n" if "summary" in told else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n{summary}")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, with one environment of OpenEnv 0.10's layout and one that brings no classes."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(
        folder,
        "openenv-big-parrot-env",
        {
            "big_parrot_env/__init__.py": "",
            "big_parrot_env/client.py": CLIENT,
            "big_parrot_env/models.py": MODELS,
            "big_parrot_env/openenv.yaml": """
                spec_version: 1
                name: big_parrot_env
                app: server.app:app  # where it is served from
                description: "Says it again"
                variables:
                  A: b
            """,
        },
        summary="not this",
    )
    install(folder, "openenv-bare", {"bare_env/__init__.py": ""}, summary="Brings nothing")
    install(folder, "openenv-core", {"openenv_core_not_this/__init__.py": ""})
    monkeypatch.syspath_prepend(folder)
    reset_discovery()
    yield folder
    reset_discovery()
    for name in [name for name in sys.modules if name.startswith(("big_parrot_env", "bare_env"))]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["big-parrot", "big_parrot", "big_parrot_env", "Big-Parrot-Env", "openenv-big-parrot-env"])
def test_every_form_of_a_name(site: Path, name: str) -> None:
    found = get_discovery().get_environment_by_name(name)
    assert found is not None
    assert found.env_key == "big_parrot"


def test_what_is_known_of_an_environment(site: Path) -> None:
    assert AutoEnv.get_env_info("big_parrot") == {
        "env_key": "big_parrot",
        "name": "big_parrot_env",
        "package": "openenv-big-parrot-env",
        "version": "1.2.3",
        "description": "Says it again",
        "env_class": "BigParrotEnv",
        "action_class": "BigParrotAction",
        "observation_class": "BigParrotObservation",
        "module": "big_parrot_env.client",
        "default_image": "big-parrot-env:latest",
        "spec_version": 1,
    }
    assert AutoAction.get_action_info("big_parrot") == {
        "env_key": "big_parrot",
        "env_name": "big_parrot_env",
        "package": "openenv-big-parrot-env",
        "action_class": "BigParrotAction",
        "observation_class": "BigParrotObservation",
        "module": "big_parrot_env.client",
    }
    found = get_discovery().get_environment("big_parrot")
    assert isinstance(found, EnvironmentInfo)
    assert found.manifest is not None
    assert found.manifest["app"] == "server.app:app"
    assert found.get_observation_class().__name__ == "BigParrotObservation"


def test_what_is_installed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"bare", "big_parrot", "echo", "calendar"} <= set(get_discovery().discover())
    assert "core" not in get_discovery().discover()
    AutoEnv.list_environments()
    written = capsys.readouterr().out
    assert "  big_parrot     : Says it again (v1.2.3)\n" in written
    assert "  bare           : Brings nothing (v1.2.3)\n" in written
    AutoAction.list_actions()
    assert "  big_parrot     : BigParrotAction\n" in capsys.readouterr().out


def test_what_is_installed_later(site: Path) -> None:
    assert get_discovery().get_environment("late") is None
    install(site, "openenv-late", {"late_env/__init__.py": ""})
    assert get_discovery().get_environment("late") is None, "what was found is remembered"
    assert "late" in get_discovery().discover(use_cache=False)


def test_a_client_of_a_running_server(site: Path, echo: Server) -> None:
    client = AutoEnv.from_env("big-parrot", base_url=echo.url, message_timeout_s=5)
    assert isinstance(client, EnvClient)
    assert type(client).__name__ == "BigParrotEnv"
    action = AutoAction.from_env("big-parrot")
    with client.sync() as env:
        env.reset()
        assert env.step(action(message="hi")).observation.echoed == "hi"


async def test_a_client_of_one_of_our_own_environments(echo: Server) -> None:
    client = AutoEnv.from_hub("echo", base_url=echo.url)
    assert isinstance(client, NativeClient)
    async with client:
        await client.reset()
        assert (await client.step(AutoAction.from_hub("echo")(message="hi"))).reward == 0.2


async def test_a_client_that_needs_nothing_installed(echo: Server, free_port: int) -> None:
    client = AutoEnv.from_env("never-heard-of", base_url=echo.url, skip_install=True)
    assert isinstance(client, GenericEnvClient)
    async with client:
        assert (await client.reset()).observation["echoed"] == ""
    assert AutoAction.from_env("never-heard-of", skip_install=True) is GenericAction
    with pytest.raises(ValueError, match="base_url or docker_image"):
        AutoEnv.from_env("never-heard-of", skip_install=True)
    with pytest.raises(ValueError, match="scheme"):
        AutoEnv.from_env("never-heard-of", base_url="ftp://x", skip_install=True)


def test_nobody_answers(site: Path, free_port: int) -> None:
    for expected in (ConnectionError, ValueError, errors.ConnectionFailed):
        with pytest.raises(expected, match=str(free_port)):
            AutoEnv.from_env("big-parrot", base_url=f"http://127.0.0.1:{free_port}")


def test_a_container(site: Path, echo: Server) -> None:
    shelf = Shelf(echo.url)
    client = AutoEnv.from_env("big-parrot", container_provider=shelf, wait_timeout=7, env_vars={"A": "b"}, port=8123)
    assert shelf.log == [("start", "big-parrot-env:latest", 8123, {"A": "b"}, {}), ("wait", echo.url, 7)]
    client.close()
    assert shelf.log[-1] == "stop"
    other = AutoEnv.from_env("x", docker_image="img:1", container_provider=Shelf(echo.url), skip_install=True)
    assert isinstance(other, GenericEnvClient)
    other.close()


def test_a_client_that_owns_no_containers(echo: Server) -> None:
    shelf = Shelf(echo.url)
    with pytest.raises(ValueError, match="echo-env:latest"):
        AutoEnv.from_env("echo", container_provider=shelf)
    assert shelf.log == []


def test_unknown_names(site: Path) -> None:
    with pytest.raises(ValueError, match=r"Unknown environment 'big-parot'\.\nDid you mean: big_parrot\?\nAvailable .*bare"):
        AutoEnv.from_env("big-parot")
    for call in (AutoEnv.get_env_class, AutoEnv.get_env_info, AutoAction.from_env, AutoAction.get_action_info):
        with pytest.raises(ValueError, match="Unknown environment 'nosuch'"):
            call("nosuch")


def test_a_package_without_classes(site: Path) -> None:
    with pytest.raises(ImportError, match=r"openenv-bare has no class BareEnv: looked in bare_env\.client"):
        AutoEnv.get_env_class("bare")
    with pytest.raises(ImportError, match="BareAction"):
        AutoAction.from_env("bare")


def test_a_package_whose_client_lacks_something(site: Path) -> None:
    install(site, "openenv-lame", {"lame_env/__init__.py": "", "lame_env/client.py": "import nosuchmodule"})
    reset_discovery()
    with pytest.raises(ModuleNotFoundError, match="nosuchmodule"):
        AutoEnv.get_env_class("lame")


def test_classes_in_another_spelling(site: Path) -> None:
    files = {"loud_env/__init__.py": "class LOUDEnv: ...\nclass Shout: ...\n", "loud_env/openenv.yaml": "action: Shout\n"}
    install(site, "openenv-loud", files)
    reset_discovery()
    assert AutoEnv.get_env_class("loud").__name__ == "LOUDEnv"
    assert AutoAction.from_env("loud").__name__ == "Shout"
    del sys.modules["loud_env"]


@pytest.mark.parametrize("factory", [AutoEnv, AutoAction])
def test_factories_are_not_instantiated(factory: type) -> None:
    with pytest.raises(TypeError, match="from_env"):
        factory()


# The Hub.


@pytest.mark.parametrize(
    "name", ["me/big_parrot", "https://huggingface.co/spaces/me/big_parrot", "huggingface.co/spaces/me/big_parrot/"]
)
def test_names_of_the_hub(name: str) -> None:
    assert is_hub_name(name)
    assert _hub.repository_of(name) == "me/big_parrot"
    assert _hub.space_url("me/big_parrot") == "https://me-big-parrot.hf.space"
    assert space_image("me/big_parrot") == "registry.hf.space/me-big-parrot:latest"
    assert not is_hub_name("big_parrot")


@pytest.mark.parametrize("name", ["a/b/c", "me/--index", "me/a b", "http://example.org/x/y/z", "../x", "me/x;y", "me/"])
def test_names_that_are_none_of_the_hub(name: str) -> None:
    with pytest.raises(ValueError, match="owner/name"):
        AutoEnv.from_env(name)


def test_an_installed_environment_of_the_hub_is_not_installed_again(site: Path, echo: Server) -> None:
    client = AutoEnv.from_env("me/big-parrot", base_url=echo.url)
    assert type(client).__name__ == "BigParrotEnv"
    assert AutoAction.from_env("me/big-parrot").__name__ == "BigParrotAction"


def test_code_from_the_hub_needs_consent(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENENV_TRUST_REMOTE_CODE", raising=False)
    for call in (AutoEnv.from_env, AutoAction.from_env):
        with pytest.raises(ValueError, match=r"me/never-heard-of .* trust_remote_code=True or set OPENENV_TRUST_REMOTE_CODE=1"):
            call("me/never-heard-of")


class Terminal:
    """A standard input that is a terminal, at which somebody has typed."""

    def __init__(self, typed: str) -> None:
        self.typed = typed

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.typed + "\n"


def test_the_user_may_say_no(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OPENENV_TRUST_REMOTE_CODE", raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal("n"))
    with pytest.raises(ValueError, match="was not installed"):
        AutoEnv.from_env("me/never-heard-of")
    assert "https://huggingface.co/spaces/me/never-heard-of" in capsys.readouterr().out


@pytest.mark.parametrize("consent", ["argument", "variable", "typed"])
def test_consent_installs_from_the_space(
    site: Path, consent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, echo: Server
) -> None:
    """The installer is a program that notes what it is asked for and puts a package there: nothing is fetched."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").write_text(
        textwrap.dedent(f"""\
            #!{sys.executable}
            import pathlib, sys
            site = pathlib.Path({str(site)!r})
            (site / "asked").write_text(" ".join(sys.argv[1:]))
            (site / "new_env").mkdir()
            (site / "new_env/__init__.py").write_text("from openenv.core.generic_client import GenericEnvClient as NewEnv")
            info = site / "openenv_new-1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: openenv-new\\nVersion: 1\\n")
            (info / "RECORD").write_text("new_env/__init__.py,,\\n")
            """)
    )
    (programs / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("OPENENV_TRUST_REMOTE_CODE", raising=False)
    if consent == "variable":
        monkeypatch.setenv("OPENENV_TRUST_REMOTE_CODE", "True")
    if consent == "typed":
        monkeypatch.setattr(sys, "stdin", Terminal("y"))
    client = AutoEnv.from_env("me/other-name", base_url=echo.url, trust_remote_code=consent == "argument")
    assert isinstance(client, GenericEnvClient)
    assert (site / "asked").read_text() == (
        f"pip install --python {sys.executable} git+https://huggingface.co/spaces/me/other-name"
    )
    sys.modules.pop("new_env", None)


def test_an_installation_that_fails(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "uv").write_text("#!/bin/sh\necho no such space >&2\nexit 1\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(ValueError, match="me/x cannot be installed: no such space"):
        AutoEnv.from_env("me/x", trust_remote_code=True)
