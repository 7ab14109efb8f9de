"""Many requests at once, on the real server in its container: answers stay what they are alone, nothing piles up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tests.integration.engine import Engine, wait_for
from tests.integration.test_api import ENDLESS, KEY, connected, idle, measured, picture_part, serving

PORT = 24310
ROWS = 8
SOAKED = 2000
OUTCOME = 'orchestrator_requests_total{{outcome="{}"}}'


@pytest.fixture(scope="module")
def server(engine: Engine, cpu_image: str) -> Iterator[str]:
    """Eight answers at once, many may wait."""
    options = ("--max-num-seqs", str(ROWS), "--images-at-once", str(ROWS), "--max-queue", "64")
    with serving(engine, cpu_image, PORT, *options) as container:
        yield container


def asked(number: int) -> dict[str, Any]:
    """A request of its own length, prompt and rules, greedy or seeded; every second one is to read a picture."""
    content: Any = "Say the alphabet."
    if number % 2:
        content = [picture_part(f"{number}AB{number}"), {"type": "text", "text": "Read the text."}]
    chance = {"temperature": 2, "seed": number} if number % 4 == 2 else {"temperature": 0}
    return {
        "model": "demo",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 6 + 5 * number,
        **chance,
    }


def answer(client: openai.OpenAI, number: int) -> tuple[str | None, str, int]:
    made = client.chat.completions.create(**asked(number))
    assert made.usage is not None
    return made.choices[0].message.content, made.choices[0].finish_reason, made.usage.completion_tokens


def test_answers_written_together_are_those_written_alone(server: str) -> None:
    numbers = [*range(2 * ROWS)]
    with connected(PORT) as client, ThreadPoolExecutor(2 * ROWS) as pool:
        alone = [answer(client, number) for number in numbers]
        assert len({text for text, _, _ in alone}) > ROWS, "they differ, so that one can't be taken for another"
        before = measured(PORT)
        together = list(pool.map(lambda number: answer(client, number), numbers))
        after = measured(PORT)
    assert together == alone
    steps = after["orchestrator_steps_total"] - before["orchestrator_steps_total"]
    tokens = after["orchestrator_stepped_tokens_total"] - before["orchestrator_stepped_tokens_total"]
    assert tokens / steps > 2, "they were written together"


def test_a_bad_request_among_good_ones_fails_alone(server: str) -> None:
    def bad(client: openai.OpenAI) -> str | None:
        broken = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="demo", messages=[{"role": "user", "content": [broken]}])  # type: ignore[list-item, misc]
        return caught.value.code

    with connected(PORT) as client, ThreadPoolExecutor(2 * ROWS) as pool:
        alone = [answer(client, number) for number in range(ROWS)]
        good = [pool.submit(answer, client, number) for number in range(ROWS)]
        wrong = [pool.submit(bad, client) for _ in range(ROWS)]
        assert [task.result() for task in good] == alone
        assert {task.result() for task in wrong} == {"invalid_image"}


@pytest.mark.long
def test_a_soak_with_disconnects_leaves_memory_and_slots_as_before(server: str) -> None:
    chance = random.Random(4)  # noqa: S311 (a repeatable mixture)
    bodies = [
        {"model": "demo", "messages": ENDLESS, "max_tokens": 3},
        {"model": "demo", "messages": ENDLESS, "max_tokens": 40, "stream": True},
        {**asked(1), "max_tokens": 4},
        {"model": "demo", "messages": ENDLESS, "max_tokens": 30},
        {"model": "demo", "messages": ENDLESS, "temperature": 9},
    ]
    seen: dict[int | str, int] = {}

    async def one(client: httpx.AsyncClient) -> None:
        body, patience = chance.choice(bodies), chance.choice([None, None, 0.002, 0.02, 0.1])
        try:
            async with asyncio.timeout(patience):
                async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                    async for _ in response.aiter_bytes():
                        pass
                end: int | str = response.status_code
        except TimeoutError:
            end = "left"
        seen[end] = seen.get(end, 0) + 1

    async def many(count: int) -> None:
        limits = asyncio.Semaphore(24)
        headers = {"Authorization": f"Bearer {KEY}"}
        base = f"http://127.0.0.1:{PORT}"
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60, trust_env=False) as client:

            async def admitted() -> None:
                async with limits:
                    await one(client)

            await asyncio.gather(*(admitted() for _ in range(count)))

    asyncio.run(many(300))  # pools and caches are as large as they get
    wait_for(lambda: idle(PORT), "free slots")
    before = measured(PORT)
    seen.clear()
    asyncio.run(many(SOAKED))
    wait_for(lambda: idle(PORT), "free slots")
    after = measured(PORT)
    grown = {name: after[name] - before[name] for name in after}
    assert sum(seen.values()) == SOAKED
    assert set(seen) == {200, 400, "left"}, seen
    assert grown[OUTCOME.format("failed")] == 0
    assert grown[OUTCOME.format("answered")] >= seen[200]
    # A caller may have left before its request was read; whoever was counted is one of these.
    assert sum(grown[OUTCOME.format(o)] for o in ("answered", "refused", "cancelled", "overloaded")) <= SOAKED
    assert grown["process_resident_memory_bytes"] < 24 * 2**20, "memory grows with requests"
    with connected(PORT) as client:
        assert answer(client, 2)[2] > 0
