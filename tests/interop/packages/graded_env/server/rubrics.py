"""What an answer is graded by."""

import asyncio

from openenv.core.rubrics import (
    ExponentialDiscountingTrajectoryRubric,
    Gate,
    Rubric,
    RubricDict,
    RubricList,
    Sequential,
    TrajectoryRubric,
    WeightedSum,
)


class Polite(Rubric):
    """Whether a word of courtesy is in it."""

    def __init__(self, word="please"):
        super().__init__()
        self.word = word

    def forward(self, action, observation):
        return 1.0 if self.word in action.answer.lower() else 0.0


class Short(Rubric):
    """The fewer letters above a limit, the better."""

    def __init__(self, limit=20):
        super().__init__()
        self.limit = limit

    def forward(self, action, observation):
        return min(1.0, self.limit / max(observation.length, 1))


class Unflagged(Rubric):
    """Whether the transforms had nothing to say."""

    def forward(self, action, observation):
        return 0.0 if observation.flags else 1.0


class Considered(Rubric):
    """A judge who takes a moment."""

    async def forward(self, action, observation):
        await asyncio.sleep(0)
        return 0.25 * min(len(action.answer.split()), 4)


class Grade(Rubric):
    """Decency first, then a weighted sum; named and numbered children beside it."""

    def __init__(self):
        super().__init__()
        self.decent = Gate(Unflagged(), threshold=1.0)
        self.quality = WeightedSum([Polite(), Short()], weights=[0.25, 0.75])
        self.by_name = RubricDict({"thanks": Polite("thanks"), "brief": Short(5)})
        self.in_order = RubricList([Polite("dear"), Short(10)])

    def forward(self, action, observation):
        extra = sum(rubric(action, observation) for rubric in self.in_order)
        named = max(self.by_name[name](action, observation) for name in self.by_name)
        if self.decent(action, observation) == 0.0:
            return 0.0
        return round((self.quality(action, observation) + named + extra) / 4, 6)


class Journey(ExponentialDiscountingTrajectoryRubric):
    """Known at the end only: the share of polite answers, discounted backwards."""

    def __init__(self):
        super().__init__(gamma=0.5, intermediate_reward=0.125)

    def score_trajectory(self, trajectory):
        polite = sum("please" in action.answer for action, _ in trajectory)
        return polite / len(trajectory)


class LastWord(TrajectoryRubric):
    """The last answer gets it all."""

    def score_trajectory(self, trajectory):
        return float(len(trajectory))

    def compute_step_rewards(self):
        return [0.0] * (len(self.trajectory) - 1) + [1.0]


def considered() -> Sequential:
    """Polite or nothing; else what the judge says."""
    return Sequential(Polite(), WeightedSum([Considered(), Short()], [0.5, 0.5]))
