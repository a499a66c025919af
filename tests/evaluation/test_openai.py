"""The sampler for servers, against a good one and against every way to be a bad one."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.evaluation import servers
from tests.evaluation.servers import Behaviour, ModelServer, Sequenced, completion, says, serving, status

from unsharpen.errors import InputError, SamplerError
from unsharpen.evaluation.samplers._http import _retry_after
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling, sample_seed
from unsharpen.evaluation.samplers.openai import OpenAISampler
from unsharpen.evaluation.samplers.server import Retry, Server, base_address

QUICK = Retry(attempts=4, patience=30.0, timeout=20.0, base_delay=0.01)
PROMPTS = {"a": "1 2 = 3 :", "b": "4 5 6 = 15 :"}


def requests(n: int = 4, *, chat: bool = False, missing: Sequence[int] | None = None) -> list[Request]:
    wanted = tuple(range(n)) if missing is None else tuple(missing)
    return [
        Request(name, [{"role": "user", "content": text}] if chat else text, n, wanted)
        for name, text in PROMPTS.items()
    ]


def draw(
    server: ModelServer | str, asked: list[Request] | None = None, *, sampling: Sampling | None = None, **options: Any
) -> list[Sample]:
    url = server if isinstance(server, str) else server.url
    settings = Server(base_url=url, **{"chat": False, "concurrency": 3, "retry": QUICK, **options})
    sampler = OpenAISampler("good-model", sampling or Sampling(), settings)
    found = [sample for samples in sampler.sample(asked or requests()) for sample in samples]
    return sorted(found, key=lambda sample: (sample.problem_id, sample.sample_id))


def expected(n: int = 4, missing: Sequence[int] | None = None) -> list[tuple[str, int, str]]:
    wanted = range(n) if missing is None else missing
    return [(name, i, completion(text, sample_seed(0, name, i))) for name, text in PROMPTS.items() for i in wanted]


def texts(samples: list[Sample]) -> list[tuple[str, int, str]]:
    return [(sample.problem_id, sample.sample_id, sample.completion) for sample in samples]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("per_request", [1, 3, 50])
def test_every_sample_comes_once_with_its_own_seed(chat: bool, per_request: int) -> None:
    with serving() as server:
        found = draw(server, requests(7, chat=chat), chat=chat, samples_per_request=per_request)
    assert texts(found) == expected(7)
    assert [body.get("n", 1) for body in server.bodies].count(1) == (14 if per_request == 1 else 2 * (per_request == 3))
    for sample in found:
        words = len(sample.completion.split())
        assert (sample.finish_reason, sample.num_tokens, sample.logprob) == ("stop", words, -0.5 * words)


def test_only_what_is_missing_is_asked_for_and_the_same() -> None:
    with serving() as server:
        assert texts(draw(server, requests(9, missing=[2, 7]))) == expected(9, [2, 7])
        assert len(server.bodies) == 4
        server.bodies.clear()
        found = draw(server, requests(9, missing=[2, 7]), samples_per_request=4)
        assert texts(found) == expected(9, [2, 7])
        assert [body["n"] for body in server.bodies] == [4] * 4  # the chunks 0-3 and 4-7 of two problems


def test_the_body_holds_the_settings_and_nothing_else() -> None:
    sampling = Sampling(
        temperature=0.7, top_p=0.9, top_k=0, min_p=0.1, max_new_tokens=9, stop=("\n",),
        chat_template_kwargs={"enable_thinking": False}, seed=3,
    )  # fmt: skip
    with serving() as server:
        asked = [Request("a", [{"role": "user", "content": "1 = 1 :"}], 1, (0,))]
        draw(server, asked, sampling=sampling, chat=True, extra={"user": "me", "max_tokens": None, "max_new": 9})
        draw(server, [Request("a", "1 = 1 :", 1, (0,))], logprobs=False)
    assert server.bodies[0] == {
        "model": "good-model",
        "messages": [{"role": "user", "content": "1 = 1 :"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": -1,
        "min_p": 0.1,
        "max_new": 9,
        "stop": ["\n"],
        "logprobs": True,
        "user": "me",
        "chat_template_kwargs": {"enable_thinking": False},
        "seed": sample_seed(3, "a", 0),
    }
    assert server.bodies[1] == {
        "model": "good-model",
        "prompt": "1 = 1 :",
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 4096,
        "seed": sample_seed(0, "a", 0),
    }


def test_a_prompt_with_half_a_surrogate_pair_can_be_sent() -> None:
    with serving() as server:
        assert len(draw(server, [Request("a", "1 \ud800 = 1 :", 1, (0,))])) == 1
    assert server.bodies[0]["prompt"] == "1 \ud800 = 1 :"


def test_the_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "a secret")
    with serving() as server:
        draw(server, api_key_env="SOME_KEY")
        assert server.headers[0]["Authorization"] == "Bearer a secret"
        server.headers.clear()
        draw(server, api_key_env="ANOTHER_KEY")
        assert "Authorization" not in server.headers[0]
    with serving(status(401, "no")) as server, pytest.raises(SamplerError) as raised:
        draw(server, api_key_env="SOME_KEY")
    assert "a secret" not in str(raised.value)


def test_requests_run_concurrently_and_within_the_limit() -> None:
    together, most, lock = [0], [0], threading.Lock()

    def count(handler: servers.Handler, body: servers.Body) -> bool:
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.05)
        with lock:
            together[0] -= 1
        return False

    with serving(count) as server:
        assert texts(draw(server, requests(10), concurrency=5)) == expected(10)
    assert 1 < most[0] <= 5


# ----------------------------------------------------------------------------------- failures that pass


@pytest.mark.parametrize(
    "behaviour",
    [
        status(500),
        status(502, "<html>bad gateway</html>"),
        status(503, Retry_After="0"),
        status(429, Retry_After="0"),
        status(408),
        servers.closes,
        servers.closes_mid_body,
        says(b""),
        says(b"<html>hello</html>"),
        says(b'{"choices": [{"te'),
        says(b"\xff\xfe"),
        says(b"[" * 200_000),
        says([]),
        says(None),
        says({}),
        says({"choices": None}),
        says({"choices": []}),
        says({"choices": [1]}),
        says({"choices": [{}]}),
        says({"choices": [{"text": None, "index": 0}]}),
        says({"choices": [{"text": "x", "index": 3}]}),
        says({"choices": [{"text": "x", "index": "0"}]}),
        says({"choices": [{"text": "x", "finish_reason": 1}]}),
        says({"choices": [{"message": None}]}),
        says({"choices": [{"message": {"role": "assistant"}}]}),
        says({"choices": [{"message": {"content": 1}}]}),
        says({"error": {"message": "overloaded"}}),
    ],
)
def test_a_passing_failure_is_tried_again(behaviour: Behaviour) -> None:
    with serving(Sequenced(behaviour, behaviour)) as server:
        assert texts(draw(server)) == expected()
        assert len(server.bodies) == 8 + 2


@pytest.mark.parametrize("behaviour", [servers.stalls(2.0), servers.drips(2.0)])
def test_a_stalling_server_is_left_after_the_timeout(behaviour: Behaviour) -> None:
    retry = Retry(attempts=4, timeout=0.5, base_delay=0.01)
    with serving(Sequenced(behaviour)) as server:
        assert texts(draw(server, retry=retry)) == expected()


def test_a_limit_is_waited_for_as_long_as_the_server_says_however_often() -> None:
    """More 429 than attempts; each asks for 0.2 seconds."""
    limit = status(429, Retry_After="0.2")
    with serving(Sequenced(*[limit] * 9)) as server:
        started = time.monotonic()
        assert texts(draw(server, requests(1), concurrency=1, retry=Retry(attempts=2, base_delay=0.0))) == expected(1)
        assert time.monotonic() - started > 9 * 0.2
    assert len(server.bodies) == 2 + 9


def test_a_limit_that_does_not_end_is_reported() -> None:
    expected_message = "HTTP 429: .*slow down.*the limit did not end"
    with (
        serving(status(429, "slow down", Retry_After="0")) as server,
        pytest.raises(SamplerError, match=expected_message),
    ):
        draw(server, retry=Retry(patience=0.3, base_delay=0.01))


def test_retry_after_is_seconds_or_a_date() -> None:
    assert _retry_after("7") == 7.0
    assert _retry_after("-7") == 0.0
    in_a_minute = _retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert in_a_minute is not None
    assert 50 < in_a_minute <= 60
    for nonsense in (None, "soon", "nan", ""):
        assert _retry_after(nonsense) is None


# ------------------------------------------------------------------------------------ failures that stay


@pytest.mark.parametrize(
    ("behaviour", "expected_message"),
    [
        (status(500, "out of memory"), "HTTP 500: .*out of memory.*; tried 4 times"),
        (servers.closes, "disconnected.*; tried 4 times"),
        (says(b"<html>hello</html>"), "the answer is not JSON: <html>hello</html>; tried 4 times"),
        (says({"choices": []}), "the answer has 0 choices instead of 1; tried 4 times"),
        (says({"object": "error", "detail": "busy"}), "has no list of choices: busy; tried 4 times"),
    ],
)
def test_a_lasting_failure_is_reported_after_all_tries(behaviour: Behaviour, expected_message: str) -> None:
    with (
        serving(behaviour) as server,
        pytest.raises(SamplerError, match=f"problem 'a': .*{expected_message}") as raised,
    ):
        draw(server, requests(1)[:1])
    assert len(server.bodies) == 4
    assert "the same command continues" in str(raised.value)


@pytest.mark.parametrize(
    ("code", "value", "hint"),
    [
        (401, "no key", "--api-key-env"),
        (403, "not you", "--api-key-env"),
        (404, "model not found", "the server has the models good-model"),
        (400, "this model gives no logprobs", "--no-logprobs"),
        (422, "unexpected field", ""),
        (302, "elsewhere", ""),
    ],
)
def test_a_refusal_is_not_tried_again(code: int, value: str, hint: str) -> None:
    with serving(status(code, value)) as server:
        settings = Server(base_url=server.url, chat=False, retry=QUICK)
        with pytest.raises(SamplerError, match=f"refuses: HTTP {code}: .*{value}") as raised:
            list(OpenAISampler("wrong-model", Sampling(), settings).sample(requests(1)[:1]))
        assert len(server.bodies) == 1
    assert hint in (raised.value.hint or "")


def test_fewer_choices_than_asked_for() -> None:
    with serving(servers.fewer) as server, pytest.raises(SamplerError, match="1 choices instead of 4") as raised:
        draw(server, samples_per_request=4)
    assert raised.value.hint is not None
    assert "--samples-per-request 1" in raised.value.hint


def test_what_is_finished_before_a_failure_is_given_out() -> None:
    """The third request is refused; the first two are there."""
    with serving(Sequenced(lambda *_: False, lambda *_: False, status(400, "no"))) as server:
        sampler = OpenAISampler("m", Sampling(), Server(base_url=server.url, chat=False, concurrency=1, retry=QUICK))
        found: list[Sample] = []
        with pytest.raises(SamplerError, match="HTTP 400"):
            found.extend(sample for samples in sampler.sample(requests()) for sample in samples)
    assert len(found) == 2


def test_an_unreachable_port() -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(SamplerError, match="can't reach the server at http://127") as raised:
        draw(url)
    assert "--base-url" in str(raised.value)


def test_closing_waits_for_no_request_under_way() -> None:
    """The consumer leaves while the server holds back its answers until the consumer has left."""
    left, in_time, held = threading.Event(), [], threading.Semaphore(0)

    def hold(handler: servers.Handler, body: servers.Body) -> bool:
        held.release()
        in_time.append(left.wait(60.0))
        handler.close_connection = True
        return True

    with serving(Sequenced(lambda *_: False, *[hold] * 7)) as server:
        sampler = OpenAISampler("m", Sampling(), Server(base_url=server.url, chat=False, concurrency=4))
        samples = sampler.sample(requests())
        assert len(next(samples)) == 1
        assert held.acquire(timeout=60.0)
        samples.close()  # type: ignore[attr-defined]
        left.set()
    assert in_time
    assert all(in_time)


# --------------------------------------------------------------------------------------- what comes back


def test_reasoning_that_the_server_sets_apart_is_kept_and_not_graded() -> None:
    message = {"content": "8", "reasoning_content": "7 or 8?"}
    with serving(says({"choices": [{"message": message, "finish_reason": "stop"}]})) as server:
        (sample,) = draw(server, [Request("a", [{"role": "user", "content": "?"}], 1, (0,))], chat=True)
    assert (sample.completion, sample.final) == ("<think>7 or 8?</think>8", "8")


@pytest.mark.parametrize(
    ("choice", "usage", "wanted"),
    [
        ({"text": "x"}, None, ("", None, None)),
        ({"text": "x", "logprobs": None}, {"completion_tokens": 5}, ("", 5, None)),
        ({"text": "x"}, {"completion_tokens": -1}, ("", None, None)),
        ({"text": "x"}, {"completion_tokens": 10**30}, ("", None, None)),
        ({"text": "x", "logprobs": {"token_logprobs": [-1, -0.5]}}, {}, ("", 2, -1.5)),
        ({"text": "x", "logprobs": {"token_logprobs": [None]}}, {"completion_tokens": "5"}, ("", None, None)),
        ({"text": "x", "logprobs": {"content": [1]}, "finish_reason": "length"}, [], ("length", None, None)),
        ({"message": {"content": None}, "finish_reason": "length"}, {}, ("length", None, None)),
    ],
)
def test_missing_counts_are_unknown_not_errors(choice: Any, usage: Any, wanted: tuple[Any, ...]) -> None:
    with serving(says({"choices": [choice], "usage": usage})) as server:
        (sample,) = draw(server, [Request("a", "?", 1, (0,))])
    assert (sample.finish_reason, sample.num_tokens, sample.logprob) == wanted


def test_an_answer_of_ten_megabytes() -> None:
    with serving(says({"choices": [{"text": "9" * 10_000_000}]})) as server:
        (sample,) = draw(server, [Request("a", "?", 1, (0,))])
    assert len(sample.completion) == 10_000_000


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://host:port/v1",
        "http://secret@host/v1",
        "http://h/?k=1",
    ],
)
def test_a_wrong_address(url: str) -> None:
    with pytest.raises(InputError, match="base URL") as raised:
        base_address(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("sampling", "options", "expected_message"),
    [
        ({"thinking_budget": 5}, {}, "no common field for a thinking budget"),
        ({"chat_template_kwargs": {"a": 1}}, {}, "chat_template_kwargs need chat"),
        ({}, {"concurrency": 0}, "at least 1"),
        ({}, {"samples_per_request": 0}, "at least 1"),
        ({}, {"retry": Retry(attempts=0)}, "attempts"),
        ({}, {"retry": Retry(timeout=0)}, "time-out"),
    ],
)
def test_settings_that_cannot_be_passed_on(sampling: Any, options: Any, expected_message: str) -> None:
    with pytest.raises(InputError, match=expected_message):
        draw("http://127.0.0.1:1/v1", sampling=Sampling(**sampling), **options)


@pytest.mark.parametrize(
    "bad",
    [
        *({"temperature": value} for value in (0, -1.0, float("nan"), float("inf"))),
        *({"top_p": value} for value in (0.0, 1.01, float("nan"))),
        *({"top_k": -1}, {"min_p": 2.0}, {"max_new_tokens": 0}, {"stop": ("",)}, {"thinking_budget": -1}),
    ],
)
def test_sampling_is_checked(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        Sampling(**bad)
