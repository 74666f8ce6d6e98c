"""The Calendar Gym's typed client."""
