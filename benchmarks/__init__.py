"""Measures this framework beside `openenv==0.10.0` and a bare ASGI echo; start with ``make bench``."""
