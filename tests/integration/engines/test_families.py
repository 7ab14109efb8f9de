"""Each family of the server in its own image, brought up by ``orchestrator up`` with the flags of its registry entry.

The weights are tiny and made by the tests; native families are transformers' own classes, for the others a stand-in of
ours runs in the place of the repository's code (stand_ins/), through the real loading path.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image, ImageDraw

from tests.integration.cli import Cli, write_yaml
from tests.integration.engine import Engine
from tests.integration.engines.families import FAMILIES, Family
from tests.integration.images import needs
from tests.integration.test_api import connected, measured

TOGETHER = 4


@pytest.fixture(scope="module", params=[pytest.param(each, id=each.name, marks=needs(each.image)) for each in FAMILIES])
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


@pytest.fixture(scope="module")
def served(
    family: Family, engine: Engine, image_of: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cli]:
    """The family's tiny model, ready; gives the command line that brought it up."""
    folder = tmp_path_factory.mktemp(family.maker)
    weights = family.make(engine, image_of(f"{family.image}-cpu"), folder)
    cli = Cli(engine, folder / "cli")
    write_yaml(cli.registry / f"{family.model}.yaml", family.registry_entry(str(weights / "tiny")))
    cli.run("up", family.model, "--yes", timeout=300)
    yield cli
    cli.run("down", family.model, "--yes")
    assert family.model not in cli.status()


@pytest.fixture
def client(served: Cli, family: Family) -> Iterator[openai.OpenAI]:
    with connected(family.port, key="none") as made:
        yield made


def picture(number: int, size: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """An image part; each number has its own, of its own size unless one is given."""
    size = size if all(size) else (64 + 12 * number, 48 + 5 * number)
    image = Image.new("RGB", size, (250, 250, 240 - 20 * number))
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 4, 20 + 9 * number, 30), fill=(20 * number, 40, 90))
    draw.line((0, 40, 60, 8 * number), fill=(200, 0, 0), width=3)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def asked(family: Family, number: int = 1, **more: Any) -> dict[str, Any]:
    """A greedy request of its own length with an image of its own."""
    content = [picture(number), {"type": "text", "text": family.text}]
    return {
        "model": family.model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 6 + 3 * number,
        "temperature": 0,
        **more,
    }


def answer(client: openai.OpenAI, request: dict[str, Any]) -> tuple[str | None, str]:
    options = request.pop("options", None)
    extra = {"options": options} if options else None
    choice = client.chat.completions.create(**request, extra_body=extra).choices[0]
    return choice.message.content, choice.finish_reason


def test_it_answers_and_the_image_matters(client: openai.OpenAI, family: Family, served: Cli) -> None:
    answers = {answer(client, asked(family, number, max_tokens=12)) for number in range(4)}
    assert len(answers) > 1
    assert all(text for text, _ in answers)
    assert served.status(family.model)[family.model]["ready"]
    assert served.run("ask", family.model, family.text, "--image", str(_png(served)), "--max-tokens", "4").out.strip()


def _png(cli: Cli) -> Path:
    path = cli.folder / "picture.png"
    path.write_bytes(base64.b64decode(picture(2)["image_url"]["url"].split(",")[1]))
    return path


def test_a_stream_is_the_plain_answer(client: openai.OpenAI, family: Family) -> None:
    plain = answer(client, asked(family, 2))
    chunks = list(
        client.chat.completions.create(**asked(family, 2), stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert (text, chunks[-2].choices[0].finish_reason) == plain
    used = chunks[-1].usage
    assert used is not None
    assert used.prompt_tokens > 1
    assert used.completion_tokens >= 1


def test_answers_written_together_are_those_written_alone(client: openai.OpenAI, family: Family) -> None:
    numbers = [*range(2 * TOGETHER)]
    alone = [answer(client, asked(family, number)) for number in numbers]
    before = measured(family.port)
    with ThreadPoolExecutor(2 * TOGETHER) as pool:
        together = list(pool.map(lambda number: answer(client, asked(family, number)), numbers))
    after = measured(family.port)
    assert together == alone
    steps, tokens = (
        after[name] - before[name] for name in ("orchestrator_steps_total", "orchestrator_stepped_tokens_total")
    )
    assert (tokens > steps) == family.batched


def test_what_the_family_alone_can_be_asked(client: openai.OpenAI, family: Family) -> None:
    for options in family.options:
        request = asked(family, 3, max_tokens=8, options=dict(options))
        if options.get("task") == "caption":
            request["messages"][0]["content"].pop()  # it takes no text
        text, _ = answer(client, request)
        if options.get("task") in {"detect", "point"}:
            assert set(json.loads(text or "")) == {"objects" if options["task"] == "detect" else "points"}


def test_what_it_can_not_is_refused_and_says_so(client: openai.OpenAI, family: Family) -> None:
    many = [picture(0)] * (family.images + 1)
    cases = [*family.refused, ({"messages": [{"role": "user", "content": many}]}, "images")]
    for more, word in cases:
        with pytest.raises(openai.BadRequestError) as caught:
            answer(client, {**asked(family), **more})
        assert word in caught.value.message
    if family.system:
        turns = [{"role": "system", "content": "Be brief."}, *asked(family)["messages"]]
        assert answer(client, asked(family, messages=turns)) is not None
