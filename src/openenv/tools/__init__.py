"""A tool is a typed method: its hints are its schema, its docstring is its description."""

from openenv.tools.arguments import Arguments
from openenv.tools.environment import ToolEnvironment, ToolProvider
from openenv.tools.offers import PromptProvider, ResourceProvider
from openenv.tools.registry import RegisteredTool, ToolOutcome, ToolRegistry, tool

__all__ = [
    "Arguments",
    "PromptProvider",
    "RegisteredTool",
    "ResourceProvider",
    "ToolEnvironment",
    "ToolOutcome",
    "ToolProvider",
    "ToolRegistry",
    "tool",
]
