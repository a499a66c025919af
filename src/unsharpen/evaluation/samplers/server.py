"""Where a server is and how to ask it; without the libraries that do so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from unsharpen.errors import InputError


@dataclass(frozen=True)
class Retry:
    """How often and how long to try.

    Attributes:
        attempts: tries of one request, those that were limited (429) not counted.
        patience: seconds without any success, over all requests, after which limits are no longer waited for.
        timeout: seconds for one try, from connecting to the last byte.
        base_delay: seconds before the second try; doubled each time, with jitter, up to a minute.
    """

    attempts: int = 6
    patience: float = 900.0
    timeout: float = 600.0
    base_delay: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where and how to ask.

    Attributes:
        base_url: with the version, e.g. ``http://127.0.0.1:8000/v1``; without a path ``/v1`` is added.
        chat: ``/chat/completions``, else ``/completions``.
        api_key_env: the environment variable that holds the key; without one no key is sent.
        concurrency: requests under way at once.
        samples_per_request: the protocol's ``n``; above 1 it saves prompt tokens where the server supports it.
        logprobs: ask for log-probabilities.
        extra: merged into the body of each request; a value of None takes a field out.
        retry: how often and how long to try.
        address: the checked base URL, without a slash at the end.
    """

    base_url: str
    chat: bool = True
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16
    samples_per_request: int = 1
    logprobs: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    address: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", base_address(self.base_url))
        if self.concurrency < 1 or self.samples_per_request < 1:
            raise InputError(
                "concurrency and samples_per_request must be at least 1; "
                f"found {self.concurrency} and {self.samples_per_request}"
            )
        if self.retry.attempts < 1 or not self.retry.timeout > 0:
            raise InputError(
                f"attempts must be at least 1 and the time-out above 0 seconds; "
                f"found {self.retry.attempts} and {self.retry.timeout:g}"
            )


def base_address(url: str) -> str:
    """The checked address without a slash at the end.

    >>> base_address("http://127.0.0.1:8000")
    'http://127.0.0.1:8000/v1'
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"a base URL must look like http://host:8000/v1; found {url!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError("a base URL must hold no user, password or query", hint="keys go into an environment variable")
    return url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
