"""Clients as packages of OpenEnv 0.10 write them, for the echo, and providers of a server that runs already."""

from __future__ import annotations

from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.containers.runtime.providers import ContainerProvider, RuntimeProvider
from openenv.core.env_client import EnvClient
from openenv.types import Action, Observation, State

__all__ = ["BlockingClient", "EchoClient", "Heard", "Runner", "Say", "Shelf", "ShoutingClient"]


class Say(Action):
    message: str


class Heard(Observation):
    echoed: str
    length: int = 0


class EchoClient(EnvClient[Say, Heard, State]):
    """A client as packages of OpenEnv 0.10 write it."""

    def _step_payload(self, action: Say) -> dict[str, Any]:
        return {"message": action.message}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Heard]:
        told = payload.get("observation", {})
        heard = Heard(echoed=told.get("echoed", ""), length=told.get("length", 0), done=payload.get("done", False))
        return StepResult(observation=heard, reward=payload.get("reward"), done=payload.get("done", False))

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(episode_id=payload.get("episode_id"), step_count=payload.get("step_count", 0))


class ShoutingClient(EchoClient):
    """One that overrides verbs and adds some."""

    async def reset(self, **kwargs: Any) -> Any:
        result = await super().reset(**kwargs)
        result.observation.metadata = {"shouting": True}
        return result

    async def shout(self, text: str) -> str:
        result = await self.step(Say(message=text.upper()))
        return str(result.observation.echoed)

    def prefix(self) -> str:
        return "!"


class BlockingClient(EchoClient):
    """One that overrides a verb for callers that block."""

    def step(self, action: Say, **kwargs: Any) -> Any:
        result = super().step(action, **kwargs)
        result.metadata = {"steps": self.state().step_count}
        return result


class Shelf(ContainerProvider):
    """A provider whose containers are a server that runs already."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log: list[Any] = []
        self.healthy = True

    def start_container(self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        self.log.append(("start", image, port, env_vars, kwargs))
        return self.url

    def stop_container(self) -> None:
        self.log.append("stop")

    def wait_for_ready(self, base_url: str, timeout_s: float = 30.0) -> None:
        self.log.append(("wait", base_url, timeout_s))
        if not self.healthy:
            raise TimeoutError("not healthy")


class Runner(RuntimeProvider):
    """The same for processes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log: list[Any] = []

    def start(self, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        self.log.append(("start", port, env_vars, kwargs))
        return self.url

    def stop(self) -> None:
        self.log.append("stop")

    def wait_for_ready(self, timeout_s: float = 30.0) -> None:
        self.log.append("wait")
