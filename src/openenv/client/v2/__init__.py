"""The client of protocol v2, which docs/protocol.md specifies: many sessions on a connection that may be lost."""
