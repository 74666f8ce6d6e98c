"""``uvicorn notes_env.server.app:app``."""

from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation

try:
    from .notes_environment import NotesEnvironment
except ImportError:
    from server.notes_environment import NotesEnvironment

app = create_app(NotesEnvironment, CallToolAction, CallToolObservation, env_name="notes_env", max_concurrent_envs=8)


def main(host: str = "127.0.0.1", port: int = 8000):
    """The script ``server``."""
    import uvicorn

    uvicorn.run(app, host=host, port=port)


if __name__ == "__main__":
    main()
