"""``uvicorn quiz_env.server.app:app``."""

from openenv.core.env_server.http_server import create_app

try:
    from ..models import QuizAction, QuizObservation, QuizState
    from .quiz_environment import QuizEnvironment
except ImportError:
    from models import QuizAction, QuizObservation, QuizState
    from server.quiz_environment import QuizEnvironment

app = create_app(QuizEnvironment, QuizAction, QuizObservation, env_name="quiz_env", max_concurrent_envs=8, state_cls=QuizState)


def main(host: str = "127.0.0.1", port: int = 8000):
    """The script ``server``."""
    import uvicorn

    uvicorn.run(app, host=host, port=port)


if __name__ == "__main__":
    main()
