"""How many strings that training never saw the stored weights read exactly: by generate, greedily, in float32."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import torch
from model import IMAGE
from PIL import Image
from printed import FONTS, picture, string
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SEED = 500
PROMPT = "Read the text."


class Stored:
    """The folder's model, as any user of transformers would call it."""

    def __init__(self, folder: Path) -> None:
        self.model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokens = AutoTokenizer.from_pretrained(folder)
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder)

    def read(self, image: Image.Image, prompt: str = PROMPT) -> str:
        """The whole answer."""
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        text = self.tokens.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        seen = self.processor(images=[image], return_tensors="pt")
        number = int(seen["image_grid_thw"].prod()) // 4
        ids = self.tokens(text.replace(IMAGE, IMAGE * number), return_tensors="pt")["input_ids"]
        kinds = (ids == self.model.config.image_token_id).int()
        with torch.inference_mode():
            made = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=kinds,
                max_new_tokens=16,
                **seen,
            )
        return self.tokens.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


#: What is measured: large print, varied less than in training, in the fonts that tell digits from letters.
VARIETY, LEAST, SHOWN = 0.2, 30.0, FONTS[:3]
GRIDS = {(2, 8): 20, (2, 7): 3, (2, 6): 2}


def strings(part: str, number: int, least: int = 3, most: int = 6) -> Iterable[tuple[str, str, Image.Image]]:
    """Font, string and picture."""
    for index in range(number):
        rng = Random(f"{SEED} {part} {index}")
        name = SHOWN[index % len(SHOWN)]
        text = string(rng, least, most, part)
        rows, columns = rng.choices(list(GRIDS), weights=list(GRIDS.values()))[0]
        yield name, text, picture(rng, text, rows, columns, VARIETY, name, LEAST).image


def measure(stored: Stored, part: str, number: int, least: int = 3, most: int = 6) -> dict[str, float]:
    """The share read exactly, of all and by font."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    wrong = []
    for name, text, image in strings(part, number, least, most):
        answer = stored.read(image)
        asked.update((name, "all"))
        if answer == text:
            right.update((name, "all"))
        else:
            wrong.append(f"{text}>{answer}({name})")
    print(*wrong[:40])
    return {name: right[name] / asked[name] for name in ("all", *SHOWN)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--number", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(Stored(given.folder), given.part, given.number)))


if __name__ == "__main__":
    main()
