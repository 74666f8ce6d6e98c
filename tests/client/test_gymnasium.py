"""The adapters to Gymnasium over real servers."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from openenv.client import Connection, EnvClient
from openenv.client.gymnasium import GymEnv, GymVectorEnv, Spaces, derived
from openenv.errors import BatchFailed, ConfigurationError, ServerError, SessionLost
from openenv.types import Action, Observation
from tests.support.chaos import Trouble, chaos
from tests.support.gym_toys import LineEnv, Place, Walk, Weather
from tests.support.processes import Server, Servers

WAYS = ("left", "right", "stay")
LINE = Spaces(
    action_space=Discrete(3),
    observation_space=Box(-1, 1, (2,), np.float32),
    encode=lambda way: Walk(way=WAYS[way]),
    decode=lambda seen: seen.position.copy(),
    info=lambda seen: {"level": seen.level},
)
PLAIN = Spaces(
    action_space=Discrete(3),
    observation_space=Discrete(7, start=-3),
    encode=lambda way: {"way": WAYS[way]},
    decode=lambda seen: np.int64(seen["level"]),
)


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.gym_toys:app")


@pytest.fixture
def env(server: Server) -> Iterator[GymEnv]:
    made = GymEnv(server.url, LINE, client=LineEnv)
    yield made
    made.close()


def play(env: gymnasium.Env[Any, Any], seed: int, steps: int) -> list[Any]:
    """What comes of the same actions; the environment is reset when an episode has ended."""
    chance = np.random.default_rng(seed)
    told: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        told.append(env.step(int(chance.integers(3))))
        if told[-1][2] or told[-1][3]:
            told.append(env.reset())
    return told


def without_ids(told: Any) -> Any:
    """The same without the episodes' ids: those of episodes without a seed are random."""
    if isinstance(told, dict):
        return {key: without_ids(value) for key, value in told.items() if key not in ("episode_id", "_episode_id")}
    if isinstance(told, list | tuple):
        return type(told)(without_ids(one) for one in told)
    if isinstance(told, np.ndarray) and told.dtype == object:
        return [without_ids(one) for one in told]
    return told


def same(one: Any, other: Any) -> bool:
    return bool(data_equivalence(without_ids(one), without_ids(other), exact=True))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_an_environment_of_ones_own_passes_gymnasiums_check(server: Server, encoding: str) -> None:
    make = functools.partial(GymEnv, server.url, LINE, client=LineEnv, encoding=encoding)
    gymnasium.register("tests/Line-v0", entry_point=lambda **kwargs: make(**kwargs))
    try:
        with_spec = gymnasium.make("tests/Line-v0")
        check_env(with_spec.unwrapped)
        with_spec.close()
    finally:
        del gymnasium.registry["tests/Line-v0"]


def test_a_step_tells_all_that_the_environment_said(env: GymEnv) -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.render()
    observation, info = env.reset(seed=4, options={"level": 2})
    assert observation in env.observation_space
    assert (info["level"], info["metadata"]) == (2, {"told": 0, "at": {"step": 0}})
    assert "stop_reason" not in info
    while True:
        observation, reward, terminated, truncated, told = env.step(1)
        assert told["episode_id"] == info["episode_id"]
        assert type(reward) is float
        if terminated:
            break
    assert (reward, truncated, told["stop_reason"]) == (3.0, False, "the end of the line")
    assert env.reset(seed=4, options={"level": 2})[1]["episode_id"] == info["episode_id"]


def test_render_without_a_mode_warns_as_gymnasium_does(env: GymEnv) -> None:
    env.reset()
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert env.render() is None


def test_an_error_of_the_environment_costs_the_step_and_not_the_session(env: GymEnv) -> None:
    env.reset(seed=1)
    with pytest.raises(ServerError, match="unknown"):
        env.reset(options={"seed": "unknown"})
    assert env.step(0)[2] is False


def test_whoever_takes_no_seed_says_so(module_serve: Servers) -> None:
    server = module_serve("tests.support.gym_toys:seedless_app")
    env = GymEnv(server.url, LINE, client=LineEnv)
    try:
        with pytest.raises(ServerError, match="seed"):
            env.reset(seed=1)
        env.reset()
        assert env.step(0)[1:4] == (0.0, False, False)
    finally:
        env.close()


def test_a_closed_environment_says_so(server: Server) -> None:
    env, vector = GymEnv(server.url, LINE, client=LineEnv), GymVectorEnv(server.url, 2, LINE, client=LineEnv)
    env.reset()
    vector.reset()
    for one in (env, vector):
        one.close()
        one.close()
        with pytest.raises(ClosedEnvironmentError):
            one.reset()
        with pytest.raises(ClosedEnvironmentError):
            one.step(0)


def test_it_plays_whatever_is_blocking_and_closes_what_is_its_own(server: Server) -> None:
    wanted = GymEnv(server.url, LINE, client=LineEnv)
    told = play(wanted, 5, 40)
    wanted.close()
    with Connection(server.url) as connection:
        [session] = connection.open(client=LineEnv)
        borrowed = GymEnv(session, LINE)
        assert same(play(borrowed, 5, 40), told)
        borrowed.close()
        assert session.reset().observation.note == "here"
    protocols: tuple[Literal["openenv", "v2"], ...] = ("openenv", "v2")
    for protocol in protocols:
        client = LineEnv(server.url, protocol=protocol)
        owned = GymEnv(client, LINE)
        assert owned.reset(seed=5)[0].tolist() == told[0][0].tolist()
        ended = next(step for step in (owned.step(1) for _ in range(20)) if step[2] or step[3])
        assert ended[2:4] == (True, False), "OpenEnv's dialect knows done alone, which this end is"
        owned.close()


async def test_a_running_event_loop_is_blocked_as_in_a_notebook(server: Server) -> None:
    env, vector = GymEnv(server.url, LINE, client=LineEnv), GymVectorEnv(server.url, 2, LINE, client=LineEnv)
    assert env.reset(seed=1)[1]["level"] == 0
    assert vector.reset(seed=1)[1]["level"].tolist() == [0, 0]
    env.close()
    vector.close()


def test_without_types_observations_are_dicts(server: Server) -> None:
    env = GymEnv(server.url, PLAIN, encoding="json")
    try:
        assert env.reset(seed=1)[0] == 0
        assert env.step(1)[0] in env.observation_space
    finally:
        env.close()


def test_a_lost_session_is_replaced_by_a_reset(serve: Servers) -> None:
    server = serve("tests.support.gym_toys:app")
    env = GymEnv(server.url, LINE, client=LineEnv, resume_within_s=5)
    env.reset(seed=3)
    port = server.port
    server.stop()
    serve("tests.support.gym_toys:app", port=port)
    with pytest.raises(SessionLost):
        env.step(0)
    env.reset(seed=3)
    assert env.step(0)[4]["metadata"]["at"] == {"step": 1}
    env.close()


def test_connections_that_break_change_nothing(server: Server) -> None:
    steady = GymVectorEnv(server.url, 4, LINE, client=LineEnv)
    with chaos(server.port, Trouble(seed=2, mean_bytes=30_000, least_bytes=3000, stalls=0.0)) as proxy:
        shaken = GymVectorEnv(proxy.url, 4, LINE, client=LineEnv)
        try:
            assert same(steady.reset(seed=1), shaken.reset(seed=1))
            steps, connection = 0, shaken.vector.async_vector.connection
            while steps < 200 or connection.resumes <= 2:  # when a connection breaks is a matter of chance
                actions = steady.action_space.sample()
                assert same(steady.step(actions), shaken.step(actions))
                steps += 1
        finally:
            proxy.calm = True
            shaken.close()
            steady.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_vector_gives_what_gymnasiums_own_gives(server: Server, mode: AutoresetMode) -> None:
    ours = GymVectorEnv(server.url, 5, LINE, client=LineEnv, autoreset_mode=mode.value)
    theirs = SyncVectorEnv([functools.partial(GymEnv, server.url, LINE, client=LineEnv)] * 5, autoreset_mode=mode)
    try:
        assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"]
        seeds: list[int | None] = [5, 6, 1, 8, 9]
        assert same(ours.reset(seed=seeds), theirs.reset(seed=seeds))
        begun = ours.reset(seed=30)
        assert same(begun, theirs.reset(seed=30))
        assert begun[1].keys() >= {"level", "_level", "metadata", "_metadata", "episode_id", "_episode_id"}
        for _ in range(150):
            actions = ours.action_space.sample()
            told, wanted = ours.step(actions), theirs.step(actions)
            assert same(told, wanted)
            ended = told[2] | told[3]
            if mode is AutoresetMode.DISABLED and ended.any():
                with pytest.raises(ResetNeeded, match="reset_mask"):
                    ours.step(actions)
                options = {"reset_mask": ended, "level": 1}
                assert same(ours.reset(options=dict(options)), theirs.reset(options=dict(options)))
    finally:
        ours.close()
        theirs.close()


def test_gymnasiums_own_vector_may_have_them_in_processes(server: Server) -> None:
    ours = GymVectorEnv(server.url, 2, LINE, client=LineEnv)
    make = functools.partial(_line, server.url)
    theirs = AsyncVectorEnv([make, make], context="spawn")
    try:
        assert same(ours.reset(seed=1), theirs.reset(seed=1))
        for way in (0, 1, 2, 1, 0):
            assert same(ours.step(np.array([way, way])), theirs.step(np.array([way, way])))
    finally:
        theirs.close()
        ours.close()


def _line(url: str) -> GymEnv:
    return GymEnv(url, LINE, client=LineEnv)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([True, False], "NumPy array of 2"),
        (np.array([1, 0]), "truth values"),
        (np.array([True]), "of 2 truth"),
        (np.zeros(2, bool), "one of them true"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(server: Server, mask: Any, message: str) -> None:
    vector = GymVectorEnv(server.url, 2, LINE, client=LineEnv)
    try:
        with pytest.raises(ResetNeeded):
            vector.step(np.zeros(2, int))
        with pytest.raises(ResetNeeded):
            vector.render()
        with pytest.raises(ValueError, match=message):
            vector.reset(options={"reset_mask": mask})
        with pytest.raises(ValueError, match="one for each of the 2"):
            vector.reset(seed=[1])
    finally:
        vector.close()


def test_values_of_different_types_under_one_name_are_kept_as_they_are(server: Server) -> None:
    vector = GymVectorEnv(server.url, 8, LINE, client=LineEnv, reset_options={"mixed": True})
    try:
        vector.reset(seed=1)
        kinds = set()
        for _ in range(20):
            *_, infos = vector.step(np.full(8, 2))
            kinds |= {type(one) for one in infos["metadata"]["told"]}
        assert {str, int} <= kinds
    finally:
        vector.close()


def test_the_step_that_fails_is_named_and_the_others_are_taken(server: Server) -> None:
    spaces = derived(Walk, Place, "level")
    vector = GymVectorEnv(server.url, 3, spaces, client=LineEnv)
    try:
        vector.reset(seed=1)
        with pytest.raises(BatchFailed, match=r"number 1: .*too weak") as failed:
            vector.step({"way": np.array([0, 1, 2]), "force": np.array([1.0, 0.0, 1.0])})
        assert [type(one).__name__ for one in failed.value.results] == ["StepResult", "ServerError", "StepResult"]
        vector.vector.restart(1)
        observations, rewards, *_ = vector.step({"way": np.array([2, 2, 2]), "force": np.ones(3)})
        assert (observations[1], rewards[1]) == (0, 0.0), "the one that was replaced begins"
    finally:
        vector.close()


def test_spaces_follow_from_types(server: Server) -> None:
    spaces = derived(Walk, Place, "position", "level", "lit", "weather", info=lambda seen: {"note": seen.note})
    assert spaces.action_space == Dict({"way": Discrete(3), "force": Box(0, 1, (), np.float64)})
    assert spaces.observation_space == Dict(
        {
            "position": Box(-np.inf, np.inf, (2,), np.float32),
            "level": Discrete(7, start=-3),
            "lit": Discrete(2),
            "weather": Discrete(2),
        }
    )
    env = GymEnv(server.url, spaces, encoding="msgpack")  # without a client: the types are known all the same
    try:
        observation, info = env.reset(seed=1)
        assert observation in env.observation_space
        assert info["note"] == "here"
    finally:
        env.close()
    sent = spaces.encode({"way": 1, "force": np.array(0.5)})
    assert sent == Walk(way="right", force=0.5)
    place = Place(position=np.zeros(2, np.float32), level=-2, lit=True, weather=Weather.STORM)
    assert (spaces.decode(place)["level"], spaces.decode(place)["weather"], spaces.decode(place)["lit"]) == (-2, 1, 1)
    assert derived(Walk, Place, "level").decode(place) == -2


class Open(Action):
    number: int = 0


def test_what_does_not_follow_from_a_type_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"Place\.note does not say which space") as refused:
        derived(Walk, Place, "note")
    assert refused.value.field == "note"
    with pytest.raises(ConfigurationError, match=r"Open\.number does not say"):
        derived(Open, Place, "level")
    with pytest.raises(ConfigurationError, match="no field 'colour'"):
        derived(Walk, Observation, "colour")
    with pytest.raises(ConfigurationError, match="Name the fields"):
        derived(Walk, Place)


def test_nothing_else_loads_gymnasium_or_numpy() -> None:
    program = (
        "import sys, openenv, openenv.client, openenv.types\n"
        "openenv.client.Connection, openenv.client.VectorEnvClient, openenv.EnvClient\n"
        "print([name for name in ('gymnasium', 'numpy', 'msgpack') if name in sys.modules])\n"
        "import openenv.arrays\n"
        "print('numpy' in sys.modules, 'gymnasium' in sys.modules)\n"
        "import openenv.client.gymnasium\n"
        "print([name for name in ('fastapi', 'starlette', 'uvicorn', 'openenv.server') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.splitlines() == ["[]", "True False", "[]"]


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [("openenv.client.gymnasium", "gymnasium", "openenv[gymnasium]"), ("openenv.arrays", "numpy", "openenv[arrays]")],
)
def test_a_missing_library_names_the_extra(module: str, missing: str, extra: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None\nimport {module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20)
    assert f'pip install "{extra}"' in done.stderr.splitlines()[-1]


def test_the_client_of_a_vector_is_checked_by_its_types() -> None:
    with pytest.raises(ConfigurationError, match="num_envs"):
        GymVectorEnv("http://localhost:1", 0, LINE)
    with pytest.raises(ConfigurationError, match="render_mode"):
        GymVectorEnv("http://localhost:1", 1, LINE, render_mode="human")
    with pytest.raises(ValueError, match="sometimes"):
        GymVectorEnv("http://localhost:1", 1, LINE, autoreset_mode="sometimes")
    assert issubclass(LineEnv, EnvClient)


def test_gymnasiums_wrappers_take_them(server: Server) -> None:
    vector = gymnasium.wrappers.vector.DictInfoToList(
        gymnasium.wrappers.vector.RecordEpisodeStatistics(GymVectorEnv(server.url, 3, LINE, client=LineEnv))
    )
    env = gymnasium.wrappers.TimeLimit(GymEnv(server.url, LINE, client=LineEnv), 2)
    try:
        vector.reset(seed=1)
        told: list[Any] = [one for _ in range(20) for one in vector.step(np.full(3, 1))[4]]
        lengths = [one["episode"]["l"] for one in told if "episode" in one]
        assert lengths
        assert all(1 <= length <= 12 for length in lengths)
        env.reset(seed=1)
        assert [env.step(2)[3] for _ in range(2)] == [False, True]
    finally:
        vector.close()
        env.close()
