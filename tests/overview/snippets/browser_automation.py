"""Browser automation: the overview's models, and an environment of one form to serve them."""

# ruff: noqa: UP045 (the spelling of the overview is what its readers copy)

from __future__ import annotations

from typing import Literal, Optional

from pydantic import Field

from openenv import Action, Environment, Observation, State, create_app


class BrowserAction(Action):
    action_type: Literal["click", "type", "navigate", "scroll"]
    selector: Optional[str] = Field(None, description="CSS selector")
    text: Optional[str] = Field(None, description="Text to type")
    url: Optional[str] = Field(None, description="URL to navigate to")


class BrowserObservation(Observation):
    html: str = Field(..., description="Current page HTML")
    screenshot: Optional[str] = Field(None, description="Base64 screenshot")
    url: str = Field(..., description="Current URL")
    success: bool = Field(..., description="Action succeeded")


class Form(Environment[BrowserAction, BrowserObservation, State]):
    """A page with one field."""

    def __init__(self) -> None:
        super().__init__()
        self.url = "about:blank"
        self.typed = ""

    def reset(self) -> BrowserObservation:
        self.url, self.typed = "about:blank", ""
        return self._seen(success=True)

    def step(self, action: BrowserAction) -> BrowserObservation:
        if action.action_type == "navigate" and action.url:
            self.url = action.url
        elif action.action_type == "type" and action.selector == "#name" and action.text:
            self.typed = action.text
        else:
            return self._seen(success=False)
        return self._seen(success=True)

    @property
    def state(self) -> State:
        return State()

    def _seen(self, *, success: bool) -> BrowserObservation:
        html = f'<input id="name" value="{self.typed}">'
        return BrowserObservation(html=html, screenshot=None, url=self.url, success=success, reward=float(success))


app = create_app(Form, BrowserAction, BrowserObservation, env_name="browser")
