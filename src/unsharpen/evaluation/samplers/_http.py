"""POST JSON to a server that may fail, stall, limit or send rubbish: what is worth another try, and how long."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from unsharpen.errors import MissingExtraError, SamplerError
from unsharpen.evaluation.samplers.server import Retry

try:
    import httpx
except ModuleNotFoundError as missing:
    raise MissingExtraError(
        "sampling from a server needs the package httpx", hint="pip install 'unsharpen[eval]'"
    ) from missing

T = TypeVar("T")

MAX_BODY: Final = 256 << 20
_TRANSIENT: Final = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_JSON: Final = {"Content-Type": "application/json"}
_MAX_DELAY: Final = 60.0
_MAX_RETRY_AFTER: Final = 600.0


class Rubbish(Exception):
    """An answer of the server that can't be used."""


class Refused(SamplerError):
    """A permanent refusal; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, hint=_HINTS.get(status))
        self.status = status


class Stopped(SamplerError):
    """The client was closed while a request was under way."""


class _Again(Exception):
    """A failure worth another try; ``after`` is what the server asked to wait, in seconds."""

    def __init__(self, what: str, *, limited: bool = False, after: float | None = None) -> None:
        super().__init__(what)
        self.limited = limited
        self.after = after


@dataclass
class JsonClient:
    """A client for one server, shared by threads.

    Args:
        base_url: what the paths are appended to.
        headers: sent with every request; never shown.
        retry: how often and how long to try.
        connections: at most so many at once.
    """

    base_url: str
    headers: dict[str, str]
    retry: Retry
    connections: int
    _stop: threading.Event = field(default_factory=threading.Event)
    _last_success: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _under_way: int = 0

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=self.connections, max_keepalive_connections=self.connections)
        timeout = httpx.Timeout(self.retry.timeout, connect=min(10.0, self.retry.timeout), pool=None)
        self._client = httpx.Client(headers=self.headers, limits=limits, timeout=timeout, follow_redirects=False)

    def close(self) -> None:
        """Begin no more requests; the last one that is under way closes the connections."""
        with self._lock:
            self._stop.set()
            if not self._under_way:
                self._client.close()

    @contextmanager
    def _request(self) -> Iterator[None]:
        with self._lock:
            if self._stop.is_set():
                raise Stopped("stopped")
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                if self._stop.is_set() and not self._under_way:
                    self._client.close()

    def post(self, path: str, body: dict[str, Any], parse: Callable[[Any], T]) -> T:
        """Post until ``parse`` accepts the answer.

        Args:
            path: appended to the base address.
            body: the JSON body.
            parse: takes the decoded JSON; raises :class:`Rubbish` where it can't be used.

        Raises:
            SamplerError: the server refuses, or every try failed.
        """
        failures = tries = 0
        content = json.dumps(body).encode()
        while True:
            tries += 1
            try:
                with self._request():
                    answer = self._once(path, content)
                result = parse(answer)
            except (_Again, Rubbish) as error:
                limited = isinstance(error, _Again) and error.limited
                failures += not limited
                out_of_patience = limited and time.monotonic() - self._last_success > self.retry.patience
                if failures >= self.retry.attempts or out_of_patience:
                    ending = "the limit did not end" if out_of_patience else f"tried {failures} times"
                    raise SamplerError(
                        f"{self.base_url}{path}: {error}; {ending}",
                        hint="what is finished is kept; the same command continues when the server is well",
                    ) from error
                self._wait(error.after if isinstance(error, _Again) else None, tries)
                continue
            self._last_success = time.monotonic()
            return result

    def get(self, path: str, *, attempts: int = 3) -> tuple[int, Any]:
        """(status, decoded JSON or None) of a GET, where an answer comes at all.

        Raises:
            SamplerError: no answer.
        """
        for attempt in range(1, attempts + 1):
            try:
                response = self._client.get(self.base_url + path, timeout=min(10.0, self.retry.timeout))
            except (httpx.HTTPError, OSError) as error:
                if attempt == attempts:
                    raise SamplerError(
                        f"can't reach the server at {self.base_url}: {_words(error)}",
                        hint="is it running, and is --base-url right? It usually ends in /v1",
                    ) from error
                self._wait(None, attempt)
                continue
            try:
                return response.status_code, response.json()
            except ValueError:
                return response.status_code, None
        raise AssertionError("unreachable")

    def _once(self, path: str, content: bytes) -> Any:
        deadline = time.monotonic() + self.retry.timeout
        try:
            with self._client.stream("POST", self.base_url + path, content=content, headers=_JSON) as response:
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if time.monotonic() > deadline:
                        raise _Again(f"no whole answer within {self.retry.timeout:g} s")
                    if len(data) > MAX_BODY:
                        raise _Again(f"an answer of over {MAX_BODY >> 20} MiB")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise SamplerError(f"{self.base_url} is no address: {error}") from error
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise _Again(_words(error)) from error
        return self._judged(path, response, bytes(data))

    def _judged(self, path: str, response: httpx.Response, data: bytes) -> Any:
        status = response.status_code
        if status == 429 or status in _TRANSIENT:
            after = _retry_after(response.headers.get("retry-after"))
            raise _Again(f"HTTP {status}: {_excerpt(data)}", limited=status == 429, after=after)
        if status != 200:
            raise Refused(f"{self.base_url}{path} refuses: HTTP {status}: {_excerpt(data)}", status)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise Rubbish(f"the answer is not JSON: {_excerpt(data)}") from None

    def _wait(self, after: float | None, tries: int) -> None:
        """Wait as the server asks, or twice as long each time; jitter spreads the callers."""
        delay = min(self.retry.base_delay * 2 ** min(tries - 1, 20), _MAX_DELAY) * random.uniform(0.5, 1.0)
        if after is not None:
            delay = min(after, _MAX_RETRY_AFTER) + random.uniform(0.0, 0.1) * min(after, 10.0)
        self._stop.wait(delay)


_HINTS: Final = {
    401: "set the API key in the environment variable that --api-key-env names",
    403: "set the API key in the environment variable that --api-key-env names",
    404: "is --base-url right (it usually ends in /v1), and MODEL one of the server's?",
}


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _excerpt(data: bytes) -> str:
    text = " ".join(data[:2000].decode("utf-8", "replace").split())
    return text[:300] or "(no words)"
