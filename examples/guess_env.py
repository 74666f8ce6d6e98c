"""An environment in a few lines: guess the number. Serve it with ``openenv serve guess_env:app``."""

from __future__ import annotations

import random

from openenv import Action, Environment, Observation, State, create_app


class Guess(Action):
    """A number from 1 to 10."""

    number: int


class Hint(Observation):
    """What a guess was told."""

    text: str


class GuessEnvironment(Environment[Guess, Hint, State]):
    """Guess the number from 1 to 10."""

    execution = "inline"

    def reset(self, *, seed: int | None = None) -> Hint:
        """Choose a number; the seed decides which."""
        self.number = random.Random(seed).randint(1, 10)
        return Hint(text="Guess a number from 1 to 10.")

    def step(self, action: Guess) -> Hint:
        """Tell whether the guess was too low, too high or right."""
        if action.number == self.number:
            return Hint(text="Right.", reward=1.0, done=True)
        return Hint(text="Higher." if action.number < self.number else "Lower.", reward=0.0)


app = create_app(GuessEnvironment, Guess, Hint, env_name="guess")
