# ruff: noqa: E501 - a signature is one line
"""How the public client-side classes and functions of OpenEnv 0.10 can be called, as `inspect.signature` tells it.

A word is a parameter, one with ``=`` has a default; after ``*`` they are keywords only; ``**`` takes any. What says
``property`` is not called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

SIGNATURES: dict[str, dict[str, str]] = {
    "openenv.core.env_client:EnvClient": {
        "__aenter__": "",
        "__aexit__": "exc_type exc_val exc_tb",
        "__enter__": "",
        "__exit__": "exc_type exc_val exc_tb",
        "__init__": "base_url= connect_timeout_s= message_timeout_s= max_message_size_mb= websocket_ping_interval_s= websocket_ping_timeout_s= provider= mode= headers=",
        "base_url": "property",
        "close": "",
        "connect": "",
        "disconnect": "",
        "from_docker_image": "image provider= **kwargs",
        "from_env": "repo_id * use_docker= provider= **provider_kwargs",
        "new_session": "",
        "reset": "**kwargs",
        "state": "",
        "step": "action **kwargs",
        "sync": "",
    },
    "openenv.core.sync_client:SyncEnvClient": {
        "__enter__": "",
        "__exit__": "exc_type exc_val exc_tb",
        "__init__": "async_client",
        "async_client": "property",
        "close": "",
        "connect": "",
        "disconnect": "",
        "new_session": "",
        "reset": "**kwargs",
        "state": "",
        "step": "action **kwargs",
    },
    "openenv.core.generic_client:GenericEnvClient": {
        "__aenter__": "",
        "__aexit__": "exc_type exc_val exc_tb",
        "__enter__": "",
        "__exit__": "exc_type exc_val exc_tb",
        "__init__": "base_url= connect_timeout_s= message_timeout_s= max_message_size_mb= websocket_ping_interval_s= websocket_ping_timeout_s= provider= mode= headers=",
        "base_url": "property",
        "close": "",
        "connect": "",
        "disconnect": "",
        "from_docker_image": "image provider= **kwargs",
        "from_env": "repo_id * use_docker= provider= **provider_kwargs",
        "new_session": "",
        "reset": "**kwargs",
        "state": "",
        "step": "action **kwargs",
        "sync": "",
    },
    "openenv.core.generic_client:GenericAction": {
        "__init__": "**kwargs",
    },
    "openenv.core.mcp_client:MCPClientBase": {
        "__aenter__": "",
        "__aexit__": "exc_type exc_val exc_tb",
        "__enter__": "",
        "__exit__": "exc_type exc_val exc_tb",
        "__init__": "base_url connect_timeout_s= message_timeout_s= websocket_ping_interval_s= websocket_ping_timeout_s= provider= mode= max_message_size_mb= headers=",
        "base_url": "property",
        "close": "",
        "connect": "",
        "disconnect": "",
        "from_docker_image": "image provider= **kwargs",
        "from_env": "repo_id * use_docker= provider= **provider_kwargs",
        "list_tools": "use_cache=",
        "new_session": "",
        "reset": "**kwargs",
        "state": "",
        "step": "action **kwargs",
        "sync": "",
    },
    "openenv.core.mcp_client:MCPToolClient": {
        "__aenter__": "",
        "__aexit__": "exc_type exc_val exc_tb",
        "__enter__": "",
        "__exit__": "exc_type exc_val exc_tb",
        "__init__": "base_url connect_timeout_s= message_timeout_s= websocket_ping_interval_s= websocket_ping_timeout_s= provider= mode= max_message_size_mb= headers=",
        "base_url": "property",
        "call_tool": "name **kwargs",
        "close": "",
        "connect": "",
        "disconnect": "",
        "from_docker_image": "image provider= **kwargs",
        "from_env": "repo_id * use_docker= provider= **provider_kwargs",
        "get_tool": "name",
        "has_tool": "name",
        "list_tools": "use_cache=",
        "new_session": "",
        "reset": "**kwargs",
        "state": "",
        "step": "action **kwargs",
        "sync": "",
    },
    "openenv.core.mcp_client:GenericMCPObservation": {},
    "openenv.core.client_types:StepResult": {
        "__init__": "observation reward= done= metadata=",
    },
    "openenv.core.utils:convert_to_ws_url": {
        "": "url",
    },
    "openenv.core.utils:hf_space_subdomain": {
        "": "repo_id",
    },
    "openenv.core.utils:run_async_safely": {
        "": "coro",
    },
    "openenv.core.containers.runtime.providers:ContainerProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "close": "",
        "start_container": "image port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.providers:LocalDockerProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "",
        "close": "",
        "start_container": "image port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.providers:DockerSwarmProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* auto_init_swarm= overlay_network=",
        "close": "",
        "start_container": "image port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.providers:RuntimeProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "start": "port= env_vars= **kwargs",
        "stop": "",
        "wait_for_ready": "timeout_s=",
    },
    "openenv.core.containers.runtime.providers:KubernetesProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "close": "",
        "start_container": "image port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.uv_provider:UVProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* project_path app= host= reload= env_vars= context_timeout_s=",
        "base_url": "property",
        "start": "port= env_vars= workers= **_",
        "stop": "",
        "wait_for_ready": "timeout_s=",
    },
    "openenv.core.containers.runtime.daytona_provider:DaytonaProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* image= env_vars= api_key= public= resources= auto_stop_interval= target= on_snapshot_create_logs= cmd= create_timeout=",
        "close": "",
        "image_from_dockerfile": "dockerfile_path context_dir=",
        "refresh_preview_url": "",
        "start_container": "image= port= env_vars= **kwargs",
        "stop_container": "",
        "strip_buildkit_syntax": "dockerfile_content",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.modal_provider:ModalProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* image= env_vars= app_name= use_sandbox_v2= timeout= cmd= cpu= memory= surface_server_logs= _adapter=",
        "base_url": "property",
        "close": "",
        "image_from_dockerfile": "dockerfile_path context_dir=",
        "start_container": "image= port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.hf_sandbox_provider:HFSandboxProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* image env_vars= flavor=",
        "close": "",
        "start_container": "image= port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.aca_provider:ACASandboxProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* subscription_id= resource_group= sandbox_group= region= endpoint= credential= cpu= memory= disk_size= auto_suspend_seconds= auto_suspend_mode= labels= egress_policy= anonymous_port= image= env_vars= cmd= working_directory= surface_server_logs= create_timeout= polling_interval= sdk_kwargs= _adapter=",
        "base_url": "property",
        "close": "",
        "deny_all_egress": "allow=",
        "start_container": "image= port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.core.containers.runtime.novita_provider:NovitaSandboxProvider": {
        "__enter__": "",
        "__exit__": "exc_type exc tb",
        "__init__": "* image= env_vars= api_key= domain= timeout= metadata= secure= cmd= working_directory= surface_server_logs= cpu_count= memory_mb= template_name= on_build_logs= _adapter=",
        "base_url": "property",
        "close": "",
        "image_from_dockerfile": "dockerfile_path context_dir=",
        "start_container": "image= port= env_vars= **kwargs",
        "stop_container": "",
        "wait_for_ready": "base_url timeout_s=",
    },
    "openenv.auto.auto_env:AutoEnv": {
        "__init__": "",
        "from_env": "name base_url= docker_image= container_provider= wait_timeout= env_vars= trust_remote_code= skip_install= **kwargs",
        "from_hub": "name base_url= docker_image= container_provider= wait_timeout= env_vars= trust_remote_code= skip_install= **kwargs",
        "get_env_class": "name",
        "get_env_info": "name",
        "list_environments": "",
    },
    "openenv.auto.auto_action:AutoAction": {
        "__init__": "",
        "from_env": "name skip_install=",
        "from_hub": "env_name skip_install=",
        "get_action_info": "name",
        "list_actions": "",
    },
    "openenv.auto._discovery:EnvironmentDiscovery": {
        "__init__": "",
        "clear_cache": "",
        "discover": "use_cache=",
        "get_environment": "env_key",
        "get_environment_by_name": "name",
        "list_environments": "",
    },
    "openenv.auto._discovery:EnvironmentInfo": {
        "__init__": "env_key name package_name version description client_module_path client_class_name action_class_name observation_class_name default_image spec_version= manifest=",
        "get_action_class": "",
        "get_client_class": "",
        "get_observation_class": "",
    },
    "openenv.auto._discovery:get_discovery": {
        "": "",
    },
    "openenv.auto._discovery:reset_discovery": {
        "": "",
    },
}


def calls_refused(theirs: str, ours: Callable[..., Any], *, bound: bool) -> list[str]:
    """Why a call that 0.10 takes would not be taken by ``ours``; empty where every such call is.

    Args:
        theirs: A signature in the form of this module.
        ours: What is to take the calls.
        bound: Whether ``ours`` begins with ``self``, which no caller gives.
    """
    parameters = list(inspect.signature(ours).parameters.values())[1 if bound else 0 :]
    named = {parameter.name: parameter for parameter in parameters}
    any_position = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    faults: list[str] = []
    expected: set[str] = set()
    keyword_only = False
    for position, word in enumerate(theirs.split()):
        if word == "*":
            keyword_only = True
            continue
        if word.startswith("**"):
            faults += [] if any_keyword else [f"takes no {word}"]
            continue
        name, optional = word.removesuffix("="), word.endswith("=")
        expected.add(name)
        mine = named.get(name)
        if mine is None or mine.kind is mine.VAR_POSITIONAL:
            if not (any_keyword and (keyword_only or any_position)):
                faults.append(f"has no {name}")
            continue
        if optional and mine.default is mine.empty:
            faults.append(f"{name} has no default")
        if not keyword_only and (parameters.index(mine) != position or mine.kind is mine.KEYWORD_ONLY):
            faults.append(f"{name} is not at position {position}")
    for mine in parameters:
        required = mine.default is mine.empty and mine.kind not in (mine.VAR_KEYWORD, mine.VAR_POSITIONAL)
        if required and mine.name not in expected:
            faults.append(f"{mine.name} is required here")
    return faults
