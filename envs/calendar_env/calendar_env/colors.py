"""Google Calendar's palettes."""

from __future__ import annotations

from typing import Final

FOREGROUND: Final = "#1d1d1d"

_CALENDAR = (
    "ac725e d06b64 f83a22 fa573c ff7537 ffad46 42d692 16a765 7bd148 b3dc6c fbe983 fad165 "
    "92e1c0 9fe1e7 9fc6e7 4986e7 9a9cff b99aff c2c2c2 cabdbf cca6ac f691b2 cd74e6 a47ae2"
)
_EVENT = "a4bdfc 7ae7bf dbadff ff887c fbd75b ffb878 46d6db e1e1e1 5484ed 51b749 dc2127"

CALENDAR_COLORS: Final = {str(number): f"#{color}" for number, color in enumerate(_CALENDAR.split(), 1)}
"""Background by color id, for calendars."""
EVENT_COLORS: Final = {str(number): f"#{color}" for number, color in enumerate(_EVENT.split(), 1)}
"""Background by color id, for events."""


def nearest_calendar_color(background: str) -> str:
    """The id of the calendar colour that is closest to ``#rrggbb``."""

    def distance(color_id: str) -> int:
        known = CALENDAR_COLORS[color_id]
        return sum((int(known[at : at + 2], 16) - int(background[at : at + 2], 16)) ** 2 for at in (1, 3, 5))

    return min(CALENDAR_COLORS, key=distance)
