"""``uvicorn plain_env.server.app:app``, or ``uvicorn server.app:app`` from inside the package's folder."""

from openenv.core.env_server.http_server import create_app

try:
    from ..models import PlainAction, PlainObservation
    from .plain_environment import PlainEnvironment
except ImportError:
    from models import PlainAction, PlainObservation
    from server.plain_environment import PlainEnvironment

app = create_app(PlainEnvironment, PlainAction, PlainObservation, env_name="plain_env", max_concurrent_envs=8)


def main(host: str = "127.0.0.1", port: int = 8000):
    """The script ``server``."""
    import uvicorn

    uvicorn.run(app, host=host, port=port)


if __name__ == "__main__":
    main()
