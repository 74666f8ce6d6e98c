"""A misspelled option of a reset: refused over protocol v2, with what it could have meant, and told by every client of it."""

from __future__ import annotations

from typing import Any

import pytest

from openenv import Action, Context, Environment, Observation
from openenv.client import VectorEnvClient
from openenv.client.gymnasium import GymEnv
from openenv.errors import BatchFailed, ServerError, ValidationFailed
from openenv.runtime import EnvironmentSpecification
from openenv.types import State
from snake_env.client import SnakeEnv
from snake_env.gymnasium import snake_spaces
from tests.support.processes import Server, Servers

HINT = "It takes: width, height, picture, episode_id, seed, starvation_limit."


@pytest.fixture(scope="module")
def snake(module_serve: Servers) -> Server:
    return module_serve("snake")


def specification(kind: type[Environment[Any, Any, Any]]) -> EnvironmentSpecification:
    return EnvironmentSpecification.of(kind, Action, Observation, State, "toy")


class Strict(Environment[Action, Observation, State]):
    def reset(self, context: Context, *, level: int = 1) -> Observation:
        return Observation()

    def step(self, action: Action) -> Observation:
        return Observation()


class Lenient(Strict):
    def reset(self, *, seed: int | None = None, **options: Any) -> Observation:  # type: ignore[override]
        return Observation()


def test_what_every_reset_knows_and_what_the_environment_names_may_be_sent() -> None:
    strict = specification(Strict)
    strict.refuse_unknown_options({"level": 2, "episode_id": "one", "seed": None})
    for name in ("levle", "context", "self", "l" * 5000):
        with pytest.raises(ValidationFailed) as refused:
            strict.refuse_unknown_options({"level": 2, name: 1})
        assert refused.value.field == name[:80]
        assert refused.value.hint in ("It takes: level, episode_id.", "It takes: episode_id, level.")
        assert len(refused.value.message) < 200
    specification(Lenient).refuse_unknown_options({"anything": 1})


@pytest.mark.e2e
async def test_the_client_is_told(snake: Server) -> None:
    async with SnakeEnv(snake.url, protocol="v2") as client:
        await client.reset(seed=3)
        with pytest.raises(ServerError, match="no option 'widht'") as refused:
            await client.reset(seed=4, widht=7)
        assert (refused.value.code, refused.value.field, refused.value.hint) == ("VALIDATION_ERROR", "widht", HINT)
        assert not (await client.reset(seed=3, width=7)).done
    async with SnakeEnv(snake.url) as client:  # OpenEnv's dialect leaves it out, as OpenEnv does
        assert not (await client.reset(seed=4, widht=7)).done


@pytest.mark.e2e
async def test_the_vector_client_is_told(snake: Server) -> None:
    async with VectorEnvClient(snake.url, 2) as vector:
        with pytest.raises(BatchFailed, match="no option 'widht'") as refused:
            await vector.reset(seed=4, options={"widht": 7})
        errors = refused.value.failures.values()
        assert [(error.code, error.field, error.hint) for error in errors] == [("VALIDATION_ERROR", "widht", HINT)] * 2
        assert len(await vector.reset(seed=4, options={"width": 7})) == 2


@pytest.mark.e2e
def test_gymnasiums_environment_is_told(snake: Server) -> None:
    env = GymEnv(snake.url, snake_spaces(7, 10), client=SnakeEnv)
    with pytest.raises(ServerError, match="no option 'widht'"):
        env.reset(seed=4, options={"widht": 7})
    env.reset(seed=4, options={"width": 7})
    env.close()
