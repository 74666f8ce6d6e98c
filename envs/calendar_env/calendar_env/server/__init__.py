"""The Calendar Gym as an application."""
