"""Three graders: by containers, by the whole trajectory, and by a judge that is awaited."""

from uuid import uuid4

from openenv.core.env_server.base_transforms import CompositeTransform, NullTransform
from openenv.core.env_server.interfaces import Environment, Transform

from ..models import GradedObservation, GradedState
from .rubrics import Grade, Journey, LastWord, considered


class Trim(Transform):
    """Hears no space at the ends."""

    def __call__(self, observation):
        observation.heard = observation.heard.strip()
        observation.length = len(observation.heard)
        return observation


class Flag(Transform):
    """Objects to words."""

    def __init__(self, *words):
        self.words = words

    def __call__(self, observation):
        flags = [word for word in self.words if word in observation.heard]
        return observation.model_copy(update={"flags": observation.flags + flags})


class GradedEnvironment(Environment):
    """The reward is the rubric's, the observation the transform's; the state tells every criterion's score."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, rubric=None):
        super().__init__(
            transform=CompositeTransform([Trim(), NullTransform(), Flag("darn", "heck")]),
            rubric=Grade() if rubric is None else rubric,
        )
        self._log = []
        self.rubric.register_forward_pre_hook(lambda rubric, action, observation: self._log.append("asked"))
        self.rubric.register_forward_hook(lambda rubric, action, observation, score: self._log.append(f"said {score}"))
        self._begin(None)

    def _begin(self, episode_id):
        self._episode_id = episode_id or str(uuid4())
        self._steps = 0

    def reset(self, seed=None, episode_id=None, **kwargs):
        self._begin(episode_id)
        self._reset_rubric()
        return self._apply_transform(GradedObservation(heard="  nothing yet "))

    def step(self, action, timeout_s=None, **kwargs):
        self._steps += 1
        observation = self._heard(action)
        observation.reward = self._apply_rubric(action, observation)
        return observation

    def _heard(self, action):
        observation = self._apply_transform(GradedObservation(heard=action.answer, done=action.final))
        observation.metadata["step"] = self._steps
        return observation

    @property
    def state(self):
        return GradedState(
            episode_id=self._episode_id,
            step_count=self._steps,
            scores={name: rubric.last_score for name, rubric in self.rubric.named_rubrics()},
            saved=self.rubric.state_dict(),
            log=self._log,
        )


class JourneyEnvironment(GradedEnvironment):
    """Each step's share is told once the journey ends."""

    def __init__(self, rubric=None):
        super().__init__(rubric=Journey() if rubric is None else rubric)

    def step(self, action, timeout_s=None, **kwargs):
        observation = super().step(action, timeout_s=timeout_s, **kwargs)
        if observation.done:
            observation.metadata["shares"] = self.rubric.compute_step_rewards()
            observation.metadata["answers"] = [action.answer for action, _ in self.rubric.trajectory]
        return observation


class LastWordEnvironment(JourneyEnvironment):
    """The other trajectory rubric."""

    def __init__(self):
        super().__init__(rubric=LastWord(intermediate_reward=0.5))


class ConsideredEnvironment(GradedEnvironment):
    """Its rubric is asynchronous, so it is too."""

    def __init__(self):
        super().__init__(rubric=considered())

    async def reset_async(self, seed=None, episode_id=None, **kwargs):
        self._begin(episode_id)
        await self._reset_rubric_async()
        return self._apply_transform(GradedObservation(heard="considering"))

    async def step_async(self, action, timeout_s=None, **kwargs):
        self._steps += 1
        observation = self._heard(action)
        observation.reward = await self._apply_rubric_async(action, observation)
        return observation
