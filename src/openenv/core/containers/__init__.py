"""Where environments run: containers and processes that a client starts for itself."""
