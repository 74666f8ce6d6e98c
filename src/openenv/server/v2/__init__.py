"""Protocol v2's sockets: many sessions on a connection, and sessions that outlive one."""

from openenv.server.v2.route import V2Socket

__all__ = ["V2Socket"]
