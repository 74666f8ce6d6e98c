"""Collecting rollouts into a data set that can be resumed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.core._llm_wire import with_system
from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness._dataset import (
    METADATA_FILENAME,
    README_FILENAME,
    RESULTS_FILENAME,
    EpisodeRecord,
    RolloutSerializer,
    build_dataset_readme,
    push_to_hf_hub,
)
from openenv.core.harness.rollout import (
    HarnessAdapter,
    HarnessRunLimits,
    ModelStep,
    ModelStepResult,
    ResourceSessionFactory,
    run_episode,
)
from openenv.core.utils import run_async_safely

if TYPE_CHECKING:
    from openenv.core.llm_client import LLMClient

__all__ = [
    "METADATA_FILENAME",
    "README_FILENAME",
    "RESULTS_FILENAME",
    "CollectResult",
    "CollectRunner",
    "EpisodeRecord",
    "RolloutSerializer",
    "build_dataset_readme",
    "build_model_step",
    "push_to_hf_hub",
]

log = logging.getLogger("openenv.core.harness")


@dataclass
class CollectResult:
    """What `CollectRunner.run` did.

    ``episode_ids`` are all that were asked for. The average and the share of rewards above 0 are those of the episodes
    written by this call.
    """

    num_collected: int
    num_skipped: int
    num_dropped: int
    num_failed: int
    episode_ids: list[str]
    avg_reward: float
    success_rate: float


class CollectRunner:
    """Runs episodes, one after the other, and writes each one down as soon as it has ended.

    Args:
        session_factory: Makes a session per episode, with ``task`` and ``episode_id``.
        harness_adapter: Its ``run_white_box`` runs them.
        serializer: Where they are written, and where a later call finds what is done already.
        tasks: The tasks by the number of the episode; those after the last one have None.
        limits: Of each episode.
    """

    def __init__(
        self,
        *,
        session_factory: ResourceSessionFactory[Any],
        harness_adapter: HarnessAdapter,
        serializer: RolloutSerializer,
        tasks: Iterable[Any] | None = None,
        limits: HarnessRunLimits | None = None,
    ) -> None:
        self._factory = session_factory
        self._adapter = harness_adapter
        self._serializer = serializer
        self._tasks: Iterable[Any] = () if tasks is None else tasks
        self._limits = limits

    def run(
        self,
        *,
        model_step: ModelStep,
        num_episodes: int,
        episode_id_prefix: str = "ep",
        resume: bool = True,
        should_keep: Callable[[EpisodeRecord], bool] | None = None,
    ) -> CollectResult:
        """Collect the episodes ``<prefix>-000000`` and on.

        An episode that raises is logged and counted as failed, and the next one is run; what is not written is run again
        by a later call. What ``should_keep``, the serializer or a session's ``close`` raises ends the run.

        Args:
            model_step: The model.
            num_episodes: How many there are to be, with those of an earlier call.
            episode_id_prefix: How their ids begin.
            resume: Skip those that are in the file. If not, the file is kept under another name, with a warning.
            should_keep: Whether an episode is written; without it all are.

        Raises:
            ValueError: The file that is to be resumed is damaged.
        """
        if not resume:
            _set_aside(self._serializer.results_path)
        done = self._serializer.collected_episode_ids()
        ids = [f"{episode_id_prefix}-{number:06d}" for number in range(num_episodes)]
        tasks: Iterator[Any] = iter(self._tasks)
        rewards: list[float] = []
        skipped = dropped = failed = 0
        for episode_id in ids:
            task = next(tasks, None)
            if episode_id in done:
                skipped += 1
                continue
            record = self._episode(episode_id, task, model_step)
            if record is None:
                failed += 1
            elif should_keep is not None and not should_keep(record):
                dropped += 1
            else:
                self._serializer.write_episode(record)
                rewards.append(record.reward)
                log.info("collected %s, reward %s", episode_id, record.reward)
        count = len(rewards)
        return CollectResult(
            num_collected=count,
            num_skipped=skipped,
            num_dropped=dropped,
            num_failed=failed,
            episode_ids=ids,
            avg_reward=sum(rewards) / count if count else 0.0,
            success_rate=sum(reward > 0 for reward in rewards) / count if count else 0.0,
        )

    def _episode(self, episode_id: str, task: Any, model_step: ModelStep) -> EpisodeRecord | None:
        """The record of one episode, or None if it failed."""
        try:
            session = self._factory.create(task=task, episode_id=episode_id)
        except Exception:  # an episode is anybody's code; one that fails must not cost the others
            log.warning("episode %s could not be created", episode_id, exc_info=True)
            return None
        try:
            rollout, verdict = run_episode(self._adapter, model_step, session, self._limits)
            return EpisodeRecord.from_rollout(episode_id, rollout, verdict, task=task)
        except Exception:  # the same
            log.warning("episode %s failed", episode_id, exc_info=True)
            return None
        finally:
            session.close()


def build_model_step(llm_client: LLMClient, *, system_prompt: str | None = None) -> ModelStep:
    """A model step that asks an LLM client (its ``complete_with_tools``).

    Args:
        llm_client: The client.
        system_prompt: Put before conversations that have no system message.
    """

    def model_step(messages: list[dict[str, Any]], tools: list[Tool], sampling: dict[str, Any]) -> ModelStepResult:
        asked = with_system(messages, system_prompt)
        listed = [{"name": one.name, "description": one.description, "inputSchema": one.input_schema} for one in tools]
        answer = run_async_safely(llm_client.complete_with_tools(asked, listed, **sampling))
        return ModelStepResult(response=answer)

    return model_step


def _set_aside(path: Path) -> None:
    """Give the file another name, so that nothing that was collected is lost."""
    if not path.exists():
        return
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = path.with_name(f"{path.stem}.{stamp}.bak{path.suffix}")
    number = 0
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.stem}.{stamp}.{number}.bak{path.suffix}")
    path.rename(kept)
    warnings.warn(f"resume=False moved existing results file to {kept}", RuntimeWarning, stacklevel=3)
