"""The snake as a server."""
