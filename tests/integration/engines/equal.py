"""Whether our server answers as the published code does, alone and with others: ``python3 - FAMILY FOLDER < equal.py``.

It runs in the family's own image or environment, on a tiny model, greedily and in float32 (where the family's code
takes nothing but bfloat16, in that). Each question is answered once by the published way of asking, then by our engine
while others join and leave. Prints what was equal as JSON; exit code 1 where anything was not.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from server.config import Config
from server.conversation import Ask, Completion, Sampling, Turn
from server.engine import engine_for
from server.families import FAMILIES
from server.serial import SerialEngine
from transformers import AutoModelForCausalLM, AutoProcessor, AutoTokenizer

MAX_MODEL_LEN = 4096
#: rows, how many join at a time, images that are read at once
WAYS = ((1, 1, 1), (8, 8, 64), (8, 3, 1), (3, 2, 64), (8, 1, 1))


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its images, which come first, and the most tokens of its answer."""

    question: str
    images: tuple[Image.Image, ...]
    tokens: int

    @property
    def ask(self) -> Ask:
        return Ask((Turn("user", (*self.images, self.question)),), Sampling(self.tokens, temperature=0))


#: the text of an answer and how many tokens it has
Answer = tuple[str, int]
Published = Callable[[Case], Answer]


def generated(model: Any, tokenizer: Any, ends: frozenset[int], inputs: Any, tokens: int) -> Answer:
    """By ``generate`` of transformers."""
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens, eos_token_id=sorted(ends))
    new = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tokenizer.decode(new, skip_special_tokens=True), len(new)


def by_generate(folder: Path, adapter: Any) -> Published:
    """For transformers' own classes: the same model and inputs, its own loop."""
    del folder

    def answer(case: Case) -> Answer:
        inputs = adapter.encode(case.ask.turns, {}).inputs
        return generated(adapter.model, adapter.tokenizer, adapter.ends, inputs, case.tokens)

    return answer


def dots_ocr(folder: Path, adapter: Any) -> Published:
    """By the repository's processor, and its model with its own attention."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, torch_dtype=torch.float32).eval()
    # As it is published it takes bfloat16 only.
    model.vision_tower.forward = partial(model.vision_tower.forward, bf16=False)

    def answer(case: Case) -> Answer:
        marks = "<|img|><|imgpad|><|endofimg|>" * len(case.images)
        text = f"<|user|>{marks}{case.question}<|endofuser|><|assistant|>"
        inputs = processor(text=[text], images=list(case.images) or None, return_tensors="pt")
        return generated(model, tokenizer, adapter.ends, inputs, case.tokens)

    return answer


def phi3_vision(folder: Path, adapter: Any) -> Published:
    """By the repository's model, and the tokens as its processor makes them; the tiles are ours (no torchvision)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, torch_dtype=torch.float32, _attn_implementation="eager"
    ).eval()

    def answer(case: Case) -> Answer:
        inputs = dict(adapter.encode(case.ask.turns, {}).inputs)
        marks = "".join(f"<|image_{number}|>\n" for number in range(1, len(case.images) + 1))
        message = {"role": "user", "content": marks + case.question}
        text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        chunks = [tokenizer(chunk).input_ids for chunk in re.split(r"<\|image_\d+\|>", text)]
        ids = list(chunks[0])
        for number, ((height, width), chunk) in enumerate(
            zip(inputs.get("image_sizes", torch.empty(0, 2)).tolist(), chunks[1:], strict=True), 1
        ):
            rows, columns = height // 336, width // 336
            ids += [-number] * ((rows * columns + 1) * 144 + 1 + (rows + 1) * 12) + chunk
        inputs["input_ids"] = torch.tensor([ids])
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        return generated(model, tokenizer, adapter.ends, inputs, case.tokens)

    return answer


def internvl2(folder: Path, adapter: Any) -> Published:
    """By the model's own ``chat``; the tiles are ours (no torchvision)."""
    del folder
    model, tokenizer = adapter.model, adapter.tokenizer

    def answer(case: Case) -> Answer:
        pixels = adapter.encode(case.ask.turns, {}).inputs.get("pixel_values")
        written: list[int] = []
        generate = model.generate

        def seen(**inputs: Any) -> Any:
            output = generate(**{**inputs, "eos_token_id": sorted(adapter.ends)})
            written.extend(output[0].tolist())
            return output

        model.generate = seen
        try:
            settings = {"max_new_tokens": case.tokens, "do_sample": False}
            text = model.chat(tokenizer, pixels, case.question, settings)
        finally:
            del model.generate
        plain = tokenizer.decode(written, skip_special_tokens=True)
        # ``chat`` strips the answer, which a stream can't.
        return plain if plain.strip() == text else text, len(written)

    return answer


def moondream2(folder: Path, adapter: Any) -> Published:
    """By the model's own ``query``, in one piece; its tokens are counted by its tokenizer."""
    del folder
    model = adapter.model

    def answer(case: Case) -> Answer:
        seen = model.encode_image(case.images[0]) if case.images else None
        settings = {"max_tokens": case.tokens, "temperature": 0}
        text = model.query(seen, case.question, settings=settings)["answer"]
        # The one that ended it is a token too.
        return text, min(len(model.model.tokenizer.encode(text).ids) + 1, case.tokens)

    return answer


PUBLISHED: dict[str, Callable[[Path, Any], Published]] = {
    "dots-ocr": dots_ocr,
    "internvl2": internvl2,
    "moondream2": moondream2,
    "phi3-vision": phi3_vision,
}
#: families whose code has no float32
BFLOAT16 = frozenset({"moondream2"})
#: the longest context, where it is less than what is asked for here
CONTEXT = {"moondream2": 2048}
#: families that ask for something else than a question
QUESTIONS = {"got-ocr2": "OCR"}


def cases(family: str) -> list[Case]:
    """Eight questions of different lengths, most of them with a picture, of different sizes."""
    dice = random.Random(1)  # noqa: S311
    with_images = [family == "got-ocr2" or index % 4 != 3 for index in range(8)]
    return [
        Case(
            QUESTIONS.get(family, f"What is this? {'so ' * index * 3}"),
            (picture(dice, index),) if seen else (),
            20 + 3 * index,
        )
        for index, seen in enumerate(with_images)
    ]


def picture(dice: random.Random, index: int) -> Image.Image:
    """Noise, lying or standing."""
    size = (90 + 20 * index, 130 - 7 * index)
    image = Image.new("RGB", size if index % 2 else size[::-1])
    image.putdata([tuple(dice.randrange(256) for _ in range(3)) for _ in range(image.width * image.height)])
    return image


def together(engine: Any, asked: Sequence[Case], at_a_time: int) -> list[Answer]:
    """Our engine; every second step the next ones join, as far as there is room."""
    waiting = [(index, engine.prepare(case.ask)) for index, case in enumerate(asked)]
    rows: dict[int, Any] = {}
    step = 0
    while waiting or engine.rows:
        count = min(at_a_time, engine.capacity - len(engine.rows)) if step % 2 == 0 else 0
        new, waiting = waiting[:count], waiting[count:]
        for (index, _), row in zip(new, engine.join([prepared for _, prepared in new]), strict=True):
            if isinstance(row, Exception):
                raise row
            rows[index] = row
        engine.leave([row for row in engine.rows if row.completion])
        if engine.rows:
            engine.step()
        engine.leave([row for row in engine.rows if row.completion])
        step += 1
    completions: list[Completion] = [rows[index].completion for index in range(len(asked))]
    return [(completion.text, completion.completion_tokens) for completion in completions]


def main(family: str, folder: Path) -> int:
    """Compares, and prints."""
    torch.set_num_threads(2)
    config = Config(
        family=family,
        served_name="tiny",
        model=str(folder),
        device="cpu",
        dtype="bfloat16" if family in BFLOAT16 else "float32",
        max_model_len=CONTEXT.get(family, MAX_MODEL_LEN),
        trust_remote_code=True,
    )
    adapter = __import__(f"server.families.{FAMILIES[family]}", fromlist=["load"]).load(folder, config)
    asked = cases(family)
    answer = PUBLISHED.get(family, by_generate)(folder, adapter)
    expected = [answer(case) for case in asked]
    equal = {}
    for rows, at_a_time, images in WAYS:
        settings = {field: getattr(config, field) for field in config.__slots__}
        engine = engine_for(adapter, Config(**{**settings, "max_num_seqs": rows, "images_at_once": images}))
        found = together(engine, asked, at_a_time)
        equal[f"{rows} rows, {at_a_time} join, {images} images at once"] = [
            one == other for one, other in zip(found, expected, strict=True)
        ]
        if isinstance(engine, SerialEngine):
            break  # one at a time is the only way it has
    result = {
        "family": family,
        "answers": len({text for text, _ in expected}),
        "tokens": [tokens for _, tokens in expected],
        "equal": equal,
    }
    print(json.dumps(result))
    return 0 if all(map(all, equal.values())) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
