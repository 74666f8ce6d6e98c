"""The snake's scenarios: ``suite.json``."""
