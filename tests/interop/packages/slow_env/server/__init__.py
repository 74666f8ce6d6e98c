"""Slow work's server."""
