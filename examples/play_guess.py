"""Plays ``guess_env`` by halving: ``python play_guess.py http://127.0.0.1:8000``."""

from __future__ import annotations

import sys

from openenv import GenericEnvClient


def main(base_url: str) -> None:
    """Guess until the environment says that the episode is done."""
    with GenericEnvClient(base_url=base_url) as client:
        client.reset(seed=7)
        low, high = 1, 10
        while True:
            number = (low + high) // 2
            result = client.step({"number": number})
            print(f"{number}: {result.observation['text']}")
            if result.done:
                return
            low, high = (number + 1, high) if result.observation["text"] == "Higher." else (low, number - 1)


if __name__ == "__main__":
    main(sys.argv[1])
