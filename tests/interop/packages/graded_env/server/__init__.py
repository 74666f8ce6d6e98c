"""The grader's server."""
