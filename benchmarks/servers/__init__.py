"""The servers that are measured beside ours."""
