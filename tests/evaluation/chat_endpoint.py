"""A chat endpoint on 127.0.0.1, for tests: it says what it was told to say."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Endpoint", "message"]


class Endpoint:
    """A chat endpoint on 127.0.0.1 that says what it was told to say, one answer after the other."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Any, dict[str, str]]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/chat/completions"
                endpoint.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                endpoint.keys.append(self.headers.get("authorization"))
                status, body, headers = endpoint.script.pop(0) if endpoint.script else (200, message("done"), {})
                if status == 0:
                    return  # hangs up without an answer
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        self.script.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def message(content: str | None, *calls: tuple[str, str], usage: tuple[int, int] = (10, 3)) -> dict[str, Any]:
    called = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": text}}
        for index, (name, text) in enumerate(calls)
    ]
    return {
        "choices": [{"message": {"role": "assistant", "content": content, "tool_calls": called or None}}],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]},
    }
