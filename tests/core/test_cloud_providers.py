"""Providers of clouds say what they lack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from openenv.core.containers.runtime._cloud import CloudProvider
from openenv.core.containers.runtime.aca_provider import ACASandboxProvider
from openenv.core.containers.runtime.daytona_provider import DaytonaProvider
from openenv.core.containers.runtime.hf_sandbox_provider import HFSandboxProvider
from openenv.core.containers.runtime.modal_provider import ModalProvider
from openenv.core.containers.runtime.novita_provider import NovitaSandboxProvider

CLOUDS: list[tuple[Callable[[], CloudProvider], str]] = [
    (lambda: DaytonaProvider(image="x", api_key="k"), "daytona"),
    (lambda: ModalProvider(image="x", cpu=2), "modal"),
    (lambda: HFSandboxProvider(image="x"), "huggingface_hub"),
    (lambda: ACASandboxProvider(image="x", anonymous_port=True), "azure-containerapps-sandbox"),
    (lambda: NovitaSandboxProvider(image="x", memory_mb=2048), "novita-sandbox"),
]


@pytest.mark.parametrize(("make", "distribution"), CLOUDS, ids=[distribution for _, distribution in CLOUDS])
def test_clouds_say_what_they_lack(
    make: Callable[[], CloudProvider], distribution: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider = make()
    assert provider.settings["image"] == "x"
    with pytest.raises(RuntimeError, match=f"pip install {distribution}"):
        provider.start_container("image")
    library = tmp_path / provider.library
    library.mkdir()
    (library / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for variable in provider.variables:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(RuntimeError, match=provider.variables[0]):
        provider.start_container("image")
    for variable in provider.variables:
        monkeypatch.setenv(variable, "given")
    with pytest.raises(RuntimeError, match="starts no sandboxes"):
        provider.base_url  # noqa: B018
    provider.stop_container()
    provider.close()


def test_clouds_wait_for_servers_that_something_else_started() -> None:
    with pytest.raises(TimeoutError):
        ModalProvider().wait_for_ready("http://127.0.0.1:9", timeout_s=0.1)


def test_what_needs_an_account_besides() -> None:
    for call in (
        lambda: DaytonaProvider.image_from_dockerfile("Dockerfile"),
        lambda: ModalProvider.image_from_dockerfile("Dockerfile"),
        lambda: NovitaSandboxProvider.image_from_dockerfile("Dockerfile"),
        lambda: DaytonaProvider().refresh_preview_url(),
        ACASandboxProvider.deny_all_egress,
    ):
        with pytest.raises(RuntimeError, match="pip install"):
            call()


def test_a_dockerfile_without_mounts() -> None:
    mounts = "--mount=type=cache,target=/a --mount=type=bind,src=y"
    given = f"FROM x\nRUN {mounts} \\\n    --mount=type=tmpfs,target=/b uv sync\nCOPY --link a b\n"
    assert DaytonaProvider.strip_buildkit_syntax(given) == "FROM x\nRUN \\\n    uv sync\nCOPY --link a b\n"
