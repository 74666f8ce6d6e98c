"""OpenEnv 0.10's own import paths, over this engine."""
