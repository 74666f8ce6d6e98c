"""The Calendar Gym's suite: ``suite.json`` and a file of scenarios for each difficulty."""
