"""The server's API in the real CPU image, asked by the official client of OpenAI; the key comes by the gate."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from tests.integration.cli import REPOSITORY, answers
from tests.integration.engine import Engine, wait_for
from tests.printed import picture, strings

KEY = "a-key-of-the-tests"
PORT = 24300
LONG = 1900
#: The demo answers it again and again without an end.
ENDLESS: Any = [{"role": "user", "content": "Say the alphabet."}]
PROBE = base64.b64encode((REPOSITORY / "orchestrator" / "probe.png").read_bytes()).decode()
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PROBE}"}}


@contextmanager
def serving(engine: Engine, image: str, port: int, *options: str, docker: Sequence[str] = ()) -> Iterator[str]:
    """The demo model in a container with these options of the server and of Docker; gives the container's id."""
    secret = engine.folder / "api-key"
    secret.write_text(KEY + "\n")
    argv = ["docker", "run", "--detach", "--init", "--user", "2000:0", "--read-only", "--cap-drop", "ALL"]
    argv += ["--tmpfs", "/tmp:mode=1777", "--tmpfs", "/weights:mode=1777", "--tmpfs", "/run/orchestrator:mode=1777"]
    argv += ["--volume", f"{secret}:/run/secrets/api-key:ro", "--publish", f"127.0.0.1:{port}:8000"]
    argv += [*docker, image]
    argv += ["python3", "/opt/orchestrator/gate", "run", "--port", "8000"]
    argv += ["--secret", "ORCHESTRATOR_API_KEY=/run/secrets/api-key", "--", "python3", "-m", "server"]
    argv += ["--builtin", "demo", "--served-name", "demo", "--family", "qwen2-vl"]
    argv += ["--host", "0.0.0.0", "--device", "cpu", "--dtype", "float32", "--max-model-len", "2048", *options]
    container = engine.run(*argv).stdout.strip()
    try:
        wait_for(lambda: answers(port), "the server")
        yield container
    finally:
        engine.run("docker", "rm", "--force", "--volumes", container)


@pytest.fixture(scope="module")
def server(engine: Engine, cpu_image: str) -> Iterator[str]:
    """The container that most tests share: one request may wait."""
    with serving(engine, cpu_image, PORT, "--require-api-key", "--max-queue", "1") as container:
        yield container


@pytest.fixture
def client(server: str) -> Iterator[openai.OpenAI]:
    with connected() as made:
        yield made


def connected(port: int = PORT, key: str = KEY) -> openai.OpenAI:
    """A client that tries once and asks no proxy."""
    transport = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0, timeout=60, http_client=transport
    )


def get(path: str, port: int = PORT) -> tuple[int, str]:
    """Status and text of an answer to a GET without a key."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def measured(port: int = PORT) -> dict[str, float]:
    """The samples of /metrics."""
    lines = get("/metrics", port)[1].splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


def idle(port: int = PORT) -> bool:
    found = measured(port)
    return found["orchestrator_requests_running"] == found["orchestrator_requests_waiting"] == 0


def refused(client: openai.OpenAI, **asked: Any) -> tuple[int, str | None, str | None]:
    """Status, parameter and code of a refusal."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": "demo", "messages": ENDLESS, "max_tokens": 4, **asked})
    error = caught.value
    return error.status_code, error.param, error.code


def test_a_stream_is_the_plain_answer_in_pieces(client: openai.OpenAI) -> None:
    asked: Any = {"model": "demo", "max_tokens": 40, "temperature": 0, "messages": ENDLESS}
    plain = client.chat.completions.create(**asked)
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 40
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == plain.choices[0].message.content
    assert len(chunks) > 10, "it comes in pieces"
    assert chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason == "length"
    assert (chunks[-1].choices, chunks[-1].usage) == ([], plain.usage)
    assert len({chunk.id for chunk in chunks}) == 1


def picture_part(text: str) -> dict[str, Any]:
    """A picture of the text, as a part of a message."""
    stream = io.BytesIO()
    picture(text).save(stream, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def read(client: openai.OpenAI, text: str) -> str | None:
    """What the model reads in a picture of the text."""
    parts: Any = [picture_part(text), {"type": "text", "text": "Read the text."}]
    made = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": parts}])
    return made.choices[0].message.content


def test_it_reads_strings_that_it_was_never_shown(client: openai.OpenAI) -> None:
    texts = strings(60, seed=11)
    wrong = [(text, found) for text in texts if (found := read(client, text)) != text]
    assert len(wrong) <= 1, wrong


def test_a_stop_string_ends_both_and_is_in_neither(client: openai.OpenAI) -> None:
    asked: Any = {"model": "demo", "messages": ENDLESS, "max_tokens": 30, "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    assert whole is not None
    stop = whole[5:9]
    plain = client.chat.completions.create(**asked, stop=["never-met", stop]).choices[0]
    assert (plain.message.content, plain.finish_reason) == (whole[: whole.index(stop)], "stop")
    chunks = list(client.chat.completions.create(**asked, stop=stop, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.message.content
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_async_client_plain_and_streaming(server: str) -> None:
    async def scenario() -> tuple[str | None, str]:
        asked: Any = {"model": "demo", "messages": ENDLESS, "max_completion_tokens": 12, "temperature": 0}
        transport = openai.DefaultAsyncHttpxClient(trust_env=False)
        base = f"http://127.0.0.1:{PORT}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0, http_client=transport) as client:
            plain = await client.chat.completions.create(**asked)
            text = ""
            async for chunk in await client.chat.completions.create(**asked, stream=True):
                text += chunk.choices[0].delta.content or ""
            return plain.choices[0].message.content, text

    plain, streamed = asyncio.run(scenario())
    assert plain == streamed


def test_a_seed_makes_chance_repeatable(client: openai.OpenAI) -> None:
    def answer(seed: int | None) -> str | None:
        made = client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=40, temperature=2, seed=seed)
        return made.choices[0].message.content

    assert answer(5) == answer(5) != answer(6)
    assert answer(None) != answer(None)


@pytest.mark.parametrize(
    ("asked", "status", "param", "code"),
    [
        ({"n": 2}, 400, "n", "unsupported_parameter"),
        ({"logprobs": True}, 400, "logprobs", "unsupported_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools", "unsupported_parameter"),
        ({"modalities": ["text", "audio"]}, 400, "modalities", "unsupported_parameter"),
        ({"extra_body": {"top_k": 5}}, 400, "top_k", "unknown_parameter"),
        ({"stop": list("abcde")}, 400, "stop", "invalid_value"),
        ({"max_tokens": 5000, "stream": True}, 400, "messages", "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": [PICTURE, PICTURE]}]}, 400, "messages", "too_many_images"),
        ({"model": "other"}, 404, "model", "model_not_found"),
    ],
)
def test_a_refusal_names_the_parameter(
    client: openai.OpenAI, asked: dict[str, Any], status: int, param: str, code: str
) -> None:
    assert refused(client, **asked) == (status, param, code)


def test_the_key_is_asked_for_and_monitoring_needs_none(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo"]
    with connected(key="another") as stranger, pytest.raises(openai.AuthenticationError) as caught:
        stranger.models.list()
    assert caught.value.code == "invalid_api_key"
    assert get("/v1/models")[0] == get("/openapi.json")[0] == 401
    assert get("/health")[0] == get("/ready")[0] == get("/metrics")[0] == 200


def test_a_full_queue_is_429_and_who_leaves_frees_the_slot(client: openai.OpenAI) -> None:
    cancelled = 'orchestrator_requests_total{outcome="cancelled"}'
    before = measured()[cancelled]
    running = client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=LONG, stream=True)
    next(iter(running))
    with connected() as other:
        waiting = ThreadPoolExecutor(1)
        late = waiting.submit(other.chat.completions.create, model="demo", messages=ENDLESS, max_tokens=4)
        wait_for(lambda: measured()["orchestrator_requests_waiting"] == 1, "a waiting request")
        with pytest.raises(openai.RateLimitError) as full:
            client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=4)
        assert full.value.code == "overloaded"
        assert int(full.value.response.headers["Retry-After"]) >= 1
        running.close()
        assert late.result(30).choices[0].finish_reason == "length"
        waiting.shutdown()
    wait_for(idle, "a free slot")
    assert measured()[cancelled] == before + 1, "the stream was given up, not answered to its end"


def test_metrics_count_what_was_done(client: openai.OpenAI) -> None:
    wait_for(idle, "a free slot")
    before = measured()
    usage = client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=4).usage
    assert usage is not None
    refused(client, n=2)
    after = measured()
    grown = {name: after[name] - before[name] for name in after}
    assert grown['orchestrator_requests_total{outcome="answered"}'] == 1
    assert grown['orchestrator_requests_total{outcome="refused"}'] == 1
    assert grown["orchestrator_request_seconds_count"] == grown["orchestrator_first_token_seconds_count"] == 1
    assert grown["orchestrator_prompt_tokens_total"] == usage.prompt_tokens
    assert grown["orchestrator_completion_tokens_total"] == 4
    assert after["process_resident_memory_bytes"] > 50e6


def test_a_time_limit_holds_while_waiting_and_while_writing(engine: Engine, cpu_image: str) -> None:
    port = PORT + 1

    def status(client: openai.OpenAI) -> tuple[int, str | None]:
        try:
            client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=LONG)
        except openai.APIStatusError as error:
            return error.status_code, error.code
        return 200, None

    with serving(engine, cpu_image, port, "--request-seconds", "1"), connected(port) as client:
        with ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(status, [client] * 8))
        assert (504, "timeout") in ends
        assert set(ends) <= {(200, None), (504, "timeout")}
        wait_for(lambda: idle(port), "a free slot")
        assert client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=2).usage is not None


def test_a_stop_finishes_what_runs_and_refuses_what_waits(engine: Engine, cpu_image: str) -> None:
    port = PORT + 2
    with serving(engine, cpu_image, port) as container, connected(port) as client, connected(port) as other:
        running = iter(client.chat.completions.create(model="demo", messages=ENDLESS, max_tokens=450, stream=True))
        next(running)
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(refused, other)
            wait_for(lambda: measured(port)["orchestrator_requests_waiting"] == 1, "a waiting request")
            engine.run("docker", "kill", "--signal", "TERM", container)
            assert late.result(30) == (503, None, "stopping")
        assert list(running)[-1].choices[0].finish_reason == "length"
        state = ("docker", "inspect", "--format", "{{json .State}}", container)
        wait_for(lambda: not json.loads(engine.run(*state).stdout)["Running"], "its end")


def test_a_required_key_that_is_empty_stops_the_start(engine: Engine, cpu_image: str) -> None:
    argv = ("docker", "run", "--rm", "--env", "ORCHESTRATOR_API_KEY=", cpu_image, "python3", "-m", "server")
    done = engine.run(
        *argv, "--model", "x", "--served-name", "x", "--family", "qwen2-vl", "--require-api-key", check=False
    )
    assert done.returncode == 2
    assert done.stderr == "server: --require-api-key: ORCHESTRATOR_API_KEY is not set or empty\n"
