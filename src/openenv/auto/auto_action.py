"""An action's class by its environment's name."""

from __future__ import annotations

from typing import Any

from openenv.auto import _hub
from openenv.auto._discovery import get_discovery, is_hub_name, known_environment
from openenv.auto._listing import write_table

__all__ = ["AutoAction"]


class AutoAction:
    """Finds the action's class of an environment by its name. A class of class methods: it is not instantiated."""

    def __init__(self) -> None:
        raise TypeError("AutoAction is not instantiated: call AutoAction.from_env(name)")

    @classmethod
    def from_env(cls, name: str, skip_install: bool = False) -> type[Any]:
        """The action's class of an installed environment, or of one of the Hub, installed after consent.

        Args:
            name: As of `AutoEnv.from_env`.
            skip_install: Import nothing of the environment: the class is `GenericAction`.

        Raises:
            ValueError: There is no such environment, or nobody consented.
        """
        if skip_install:
            from openenv.core.generic_client import GenericAction

            return GenericAction
        if is_hub_name(name):
            return _hub.environment_of(_hub.repository_of(name)).get_action_class()
        return known_environment(name).get_action_class()

    @classmethod
    def from_hub(cls, env_name: str, skip_install: bool = False) -> type[Any]:
        """Another name of `from_env`."""
        return cls.from_env(env_name, skip_install=skip_install)

    @classmethod
    def get_action_info(cls, name: str) -> dict[str, Any]:
        """The names of an installed environment's action and observation. Raises ``ValueError`` where there is none."""
        info = known_environment(name)
        return {
            "env_key": info.env_key,
            "env_name": info.name,
            "package": info.package_name,
            "action_class": info.action_class_name,
            "observation_class": info.observation_class_name,
            "module": info.client_module_path,
        }

    @classmethod
    def list_actions(cls) -> None:
        """Write a table of the installed environments' actions to the standard output."""
        found = get_discovery().discover().values()
        write_table("Available action classes", [(info.env_key, info.action_class_name, info) for info in found])
