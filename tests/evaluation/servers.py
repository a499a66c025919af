"""Servers of our own on the loopback address: one that answers well, and ways to answer badly."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Behaviour = Callable[["Handler", Body], bool]
"""Answers a request and returns True, or returns False to leave it to the good server."""


def completion(prompt: str, seed: int) -> str:
    """What the good server's model writes: a bare CountDown answer, decided by the prompt and the seed alone.

    Half of the answers add the numbers up, the others subtract; now and then it rambles, with line ends and emoji.
    """
    numbers = prompt.split("=")[0].split()
    chance = hashlib.sha256(f"{prompt}\0{seed}".encode("utf-8", "backslashreplace")).digest()
    if chance[0] < 8:
        return "\u2028no\nidea \U0001f600 " * (1 + chance[1] % 5)
    order = sorted(range(len(numbers)), key=lambda i: chance[2 + i])
    return (" + " if chance[1] < 128 else " - ").join(numbers[i] for i in order)


class Handler(BaseHTTPRequestHandler):
    """Speaks the protocol's part that the sampler uses."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        known = self.path == "/v1/models"
        self.reply(200 if known else 404, {"object": "list", "data": [{"id": "good-model"}]} if known else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.append(dict(self.headers))
        behaviour = self.server.behaviour
        if behaviour is not None and behaviour(self, body):
            return
        time.sleep(self.server.delay)
        self.reply(200, self.server.answer(self.path, body))

    def reply(self, status: int, value: Any, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        try:
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the client was killed
            self.close_connection = True


class ModelServer(ThreadingHTTPServer):
    """A server that honours seeds: the i-th of n choices has the request's seed plus i, as in vLLM."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behaviour: Behaviour | None = None, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.delay = delay
        self.lock = threading.Lock()
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @staticmethod
    def answer(path: str, body: Body) -> Body:
        chat = path.endswith("/chat/completions")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        texts = [completion(prompt, body["seed"] + i) for i in range(body.get("n", 1))]
        values = [[-0.5] * len(text.split()) for text in texts]
        if chat:
            tables: list[Any] = [{"content": [{"token": "?", "logprob": v} for v in row]} for row in values]
        else:
            tables = [{"token_logprobs": row} for row in values]
        choices = [
            {
                "index": i,
                "finish_reason": "stop",
                "logprobs": table if "logprobs" in body else None,
                **({"message": {"role": "assistant", "content": text}} if chat else {"text": text}),
            }
            for i, (text, table) in enumerate(zip(texts, tables, strict=True))
        ]
        return {"choices": choices, "usage": {"completion_tokens": sum(map(len, values))}}

    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextmanager
def serving(behaviour: Behaviour | None = None, delay: float = 0.0) -> Iterator[ModelServer]:
    with ModelServer(behaviour, delay) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Sequenced:
    """Bad behaviours for the first requests, one each; afterwards the good server answers.

    Args:
        behaviours: in order.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours)
        self._lock = threading.Lock()

    def __call__(self, handler: Handler, body: Body) -> bool:
        with self._lock:
            behaviour = self._behaviours.pop(0) if self._behaviours else None
        return behaviour is not None and behaviour(handler, body)


def status(code: int, value: Any = "went wrong", **headers: str) -> Behaviour:
    def behave(handler: Handler, body: Body) -> bool:
        handler.reply(code, {"error": {"message": value}}, **headers)
        return True

    return behave


def says(value: Any) -> Behaviour:
    """Status 200 with this value, or these bytes, as the whole answer."""

    def behave(handler: Handler, body: Body) -> bool:
        handler.reply(200, value)
        return True

    return behave


def closes(handler: Handler, body: Body) -> bool:
    """Ends the connection without an answer."""
    handler.close_connection = True
    return True


def closes_mid_body(handler: Handler, body: Body) -> bool:
    """Promises 1000 bytes, sends ten, ends the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    handler.close_connection = True
    return True


def stalls(seconds: float) -> Behaviour:
    """Sends nothing for a while, then ends the connection."""

    def behave(handler: Handler, body: Body) -> bool:
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return behave


def drips(seconds: float) -> Behaviour:
    """Sends a byte now and then, so that no single wait is long."""

    def behave(handler: Handler, body: Body) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                break
            time.sleep(0.02)
        handler.close_connection = True
        return True

    return behave


def fewer(handler: Handler, body: Body) -> bool:
    """One choice, whatever n is."""
    answer = ModelServer.answer(handler.path, body)
    handler.reply(200, {**answer, "choices": answer["choices"][:1]})
    return True
