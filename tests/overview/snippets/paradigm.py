"""The step-state-reset paradigm: an environment with the three members of the overview's abstract class, and no more."""

from __future__ import annotations

from openenv import Action, Environment, Observation, State, create_app


class CountAction(Action):
    by: int = 1


class CountObservation(Observation):
    value: int


class Counter(Environment[CountAction, CountObservation, State]):
    """Counts to ten."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 0
        self.steps = 0

    def reset(self) -> CountObservation:
        """Initialize new episode, return initial observation."""
        self.value = self.steps = 0
        return CountObservation(value=0)

    def step(self, action: CountAction) -> CountObservation:
        """Execute action, return observation (with reward/done)."""
        self.value += action.by
        self.steps += 1
        return CountObservation(value=self.value, reward=float(action.by), done=self.value >= 10)

    @property
    def state(self) -> State:
        """Return current environment state (episode_id, step_count)."""
        return State(episode_id="count", step_count=self.steps)


app = create_app(Counter, CountAction, CountObservation, env_name="counter")
