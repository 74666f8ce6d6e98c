"""Small environments written against OpenEnv 0.10's import paths only: they run unchanged under both frameworks."""
