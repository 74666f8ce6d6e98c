"""The overview's models of three domains: valid and invalid actions, and small environments that serve them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from tests.overview.conftest import Snippets

pytestmark = pytest.mark.e2e

Steps = list[tuple[Any, dict[str, Any]]]
"""Actions, with what their observations say."""


def play(snippets: Snippets, module: str, steps: Steps) -> None:
    """Serve the module, take the steps, and compare the named fields of each observation."""
    server = snippets.served(module)
    with snippets.client(base_url=server.ws_url) as client:
        client.reset()
        for action, expected in steps:
            observation = client.step(action).observation
            assert {name: observation[name] for name in expected} == expected
    schema = httpx.get(f"{server.url}/schema").json()
    action_type = type(steps[0][0])
    assert set(schema["action"]["properties"]) == set(action_type.model_fields)


def refuses(kind: Any, /, **fields: Any) -> None:
    with pytest.raises(ValidationError):
        kind(**fields)


def test_browser_automation(snippets: Snippets) -> None:
    names = snippets.names("browser_automation")
    BrowserAction, BrowserObservation = names["BrowserAction"], names["BrowserObservation"]
    refuses(BrowserAction, action_type="hover")
    refuses(BrowserAction, action_type="click", selector=5)
    refuses(BrowserObservation, html="<p>", url="about:blank")
    go = BrowserAction(action_type="navigate", url="http://shop.example/")
    fill = BrowserAction(action_type="type", selector="#name", text="Alice")
    seen = {"url": "http://shop.example/", "success": True, "screenshot": None}
    steps: Steps = [
        (go, seen),
        (fill, {**seen, "html": '<input id="name" value="Alice">'}),
        (BrowserAction(action_type="click", selector="#nowhere"), {"success": False}),
    ]
    play(snippets, "browser_automation", steps)


def test_calendar_management(snippets: Snippets) -> None:
    names = snippets.names("calendar_management")
    CalendarAction, CalendarObservation = names["CalendarAction"], names["CalendarObservation"]
    assert CalendarAction(action_type="ListToolsAction").arguments == {}
    refuses(CalendarAction, action_type="list")
    refuses(CalendarAction, action_type="ToolCallAction", arguments="none")
    refuses(CalendarObservation)
    insert = CalendarAction(action_type="ToolCallAction", tool_name="events_insert", arguments={"summary": "Sync"})
    steps: Steps = [
        (CalendarAction(action_type="ListToolsAction"), {"tools_list": [{"name": "events_insert"}, {"name": "events_list"}]}),
        (insert, {"success": True, "tool_result": {"items": ["Sync"]}, "error_message": None}),
        (CalendarAction(action_type="ToolCallAction", tool_name="x"), {"success": False, "error_message": "no tool x"}),
    ]
    play(snippets, "calendar_management", steps)


def test_code_development(snippets: Snippets) -> None:
    names = snippets.names("code_development")
    CodeAction, CodeObservation = names["CodeAction"], names["CodeObservation"]
    refuses(CodeAction, action_type="rm")
    refuses(CodeObservation, file_content="x")
    steps: Steps = [
        (CodeAction(action_type="read_file", file_path="answer.txt"), {"file_content": "41", "success": True}),
        (CodeAction(action_type="run_tests"), {"test_results": {"passed": 0, "failed": 1}, "success": False}),
        (CodeAction(action_type="write_file", file_path="answer.txt", content="42"), {"git_status": "answer.txt"}),
        (CodeAction(action_type="run_tests"), {"test_results": {"passed": 1, "failed": 0}, "success": True}),
        (CodeAction(action_type="git_commit", commit_message="Answer"), {"git_status": "clean", "success": True}),
    ]
    play(snippets, "code_development", steps)
