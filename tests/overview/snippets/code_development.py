"""Code development: the overview's models, and an environment of a repository in memory to serve them."""

# ruff: noqa: UP006, UP035, UP045 (the spelling of the overview is what its readers copy)

from __future__ import annotations

from typing import Any, Dict, Literal, Optional

from openenv import Action, Environment, Observation, State, create_app


class CodeAction(Action):
    action_type: Literal["read_file", "write_file", "run_tests", "git_commit"]
    file_path: Optional[str] = None
    content: Optional[str] = None
    commit_message: Optional[str] = None


class CodeObservation(Observation):
    file_content: Optional[str] = None
    test_results: Optional[Dict[str, Any]] = None
    git_status: Optional[str] = None
    success: bool


class Repository(Environment[CodeAction, CodeObservation, State]):
    """Files, and one test: that ``answer.txt`` says 42."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, str] = {}
        self.changed: list[str] = []

    def reset(self) -> CodeObservation:
        self.files, self.changed = {"answer.txt": "41"}, []
        return CodeObservation(success=True)

    def step(self, action: CodeAction) -> CodeObservation:
        if action.action_type == "read_file":
            content = self.files.get(action.file_path or "")
            return CodeObservation(success=content is not None, file_content=content)
        if action.action_type == "write_file" and action.file_path and action.content is not None:
            self.files[action.file_path] = action.content
            self.changed.append(action.file_path)
            return CodeObservation(success=True, git_status=" ".join(self.changed))
        if action.action_type == "run_tests":
            passed = self.files["answer.txt"] == "42"
            return CodeObservation(success=passed, test_results={"passed": int(passed), "failed": int(not passed)})
        if action.action_type == "git_commit" and action.commit_message:
            self.changed = []
            return CodeObservation(success=True, git_status="clean", reward=1.0, done=True)
        return CodeObservation(success=False)

    @property
    def state(self) -> State:
        return State()


app = create_app(Repository, CodeAction, CodeObservation, env_name="code")
