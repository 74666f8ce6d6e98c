"""The echo as a server."""
