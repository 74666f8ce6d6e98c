"""Conference data: what a client asks for, and a meeting room's link that depends on the event alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from calendar_env.google_errors import invalid

_FIELDS: Final = frozenset(
    {"createRequest", "entryPoints", "conferenceSolution", "conferenceId", "signature", "notes", "parameters"}
)
_LETTERS: Final = "abcdefghijkmnopqrstuvwxyz"
_EXAMPLE: Final = {"createRequest": {"requestId": "any-text", "conferenceSolutionKey": {"type": "hangoutsMeet"}}}


def made(value: dict[str, Any] | None, event_id: str) -> str | None:
    """The stored conference: as given, or a new one where ``createRequest`` asks for it. Raises 400."""
    if value is None:
        return None
    unknown = sorted(set(value) - _FIELDS)
    if unknown or len(json.dumps(value)) > 16_384 or len(str(value.get("notes", ""))) > 2048:
        what = f"it has no field {unknown[0][:40]!r}" if unknown else "it is too long"
        raise invalid("conferenceData", f"Invalid conferenceData: {what}", example=_EXAMPLE)
    points = value.get("entryPoints", [])
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise invalid("conferenceData.entryPoints", "entryPoints is a list of objects", example=_EXAMPLE)
    request = value.get("createRequest")
    if request is None:
        return json.dumps(value)
    if not isinstance(request, dict) or not isinstance(request.get("requestId"), str):
        raise invalid("conferenceData.createRequest", "createRequest needs a requestId", example=_EXAMPLE)
    digest = hashlib.sha256(f"{event_id}/{request['requestId']}".encode()).digest()
    letters = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])
    code = f"{letters[:3]}-{letters[3:7]}-{letters[7:]}"
    return json.dumps(
        {
            "createRequest": {
                "requestId": request["requestId"],
                "conferenceSolutionKey": {"type": "hangoutsMeet"},
                "status": {"statusCode": "success"},
            },
            "entryPoints": [
                {"entryPointType": "video", "uri": f"https://meet.google.com/{code}", "label": f"meet.google.com/{code}"}
            ],
            "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
            "conferenceId": code,
        }
    )
