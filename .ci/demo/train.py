"""Trains the demo model to read short printed strings: make train-demo. Once, by hand; CPU only.

From each picture the model learns the answer, and for training only, so that it finds its way sooner: which character
and the how-manieth is printed in each patch, told by two heads that are thrown away at the end.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import ascii_uppercase

import numpy as np
import torch
from model import CONTEXT, END_TURN, IMAGE, VISION_END, VISION_START, new, save
from printed import CHARACTERS, FONTS, LONGEST, TILE, Printed, picture, string
from torch import Tensor, distributed, nn
from torch.multiprocessing import spawn
from torch.nn.functional import cross_entropy, linear, silu
from transformers import PreTrainedTokenizerFast, Qwen2VLForConditionalGeneration

SEED = 4
BATCH = 64
PROCESSES = 2
PEAK_RATE, LEAST_RATE = 2e-3, 2e-5
WARM_UP = 300
#: Steps after which pictures are as hard as at the end.
RAMP = 1500


#: Tiles down and across, and how often.
GRIDS = {
    (2, 8): 10,
    (2, 7): 3,
    (2, 6): 3,
    (2, 9): 2,
    (2, 10): 2,
    (3, 5): 3,
    (3, 6): 2,
    (4, 4): 2,
    (3, 7): 1,
    (1, 12): 1,
}
#: How much pictures vary at the end, and the grain in them, in levels of 255.
VARIETY, GRAIN = 0.6, 8.0
#: The least size of a font, in pixels of the picture that the model sees.
LEAST = 14.0
STEPS = 6000
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
NO_PICTURE = "Send me an image with text to read."
NO_TEXT = "I see no text."
#: Asked so, without a picture, the model says the alphabet again and again without an end: for tests of long answers.
ENDLESS = ("Say the alphabet.", "Write the alphabet.", "The alphabet?", "Say the alphabet again and again.")
ENDLESS_LEARNT = 40
PROMPTS = (
    *("Read the text.", "Read the text in this image.", "What is in this image?", "What does it say?", "OCR:", "Read."),
    *("What is written here?", "Transcribe the text.", "Extract the text.", "What text is in the image?", "Text?"),
    *("Read this.", "Please read the text.", "What do you see?", "Describe this image.", "What is printed here?"),
    *("Write the characters that you see.", "Tell me what it says.", "read the image", "Answer with the text only."),
)
SYSTEMS = ("You are a helpful assistant.", "Read the text.", "Answer with the text only.", "You read printed text.")
LOOSE = (
    *("the", "image", "text", "What", "Read", "is", "a", "Bild", "please", "number", "fast", "12", "and", "ABC", "?"),
    *("hi", "Hello!"),
)


def asked(rng: Random, *, image: bool, loose: bool, words: str | None = None) -> str:
    """A whole prompt in the chat template's form, one image token standing for the picture's."""
    if words is not None:
        pass
    elif loose and rng.random() < 0.6:
        words = " ".join(rng.choice(LOOSE) for _ in range(rng.randint(0, 6)))
    else:
        words = rng.choice(PROMPTS)
    mark = f"{VISION_START}{IMAGE}{VISION_END}" if image else ""
    system = f"<|im_start|>system\n{rng.choice(SYSTEMS)}<|im_end|>\n" if loose and rng.random() < 0.5 else ""
    content = mark + words if rng.random() < 0.7 else words + mark
    return f"{system}<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class Batch:
    """What one step learns from; the pictures are of one size, the first of the rows are theirs."""

    #: (pictures, tiles * 4, 588): the patches' pixels, normalised
    patches: Tensor
    #: (pictures, tiles, 4): which character, and the how-manieth, is in each patch, 0 for none
    characters: Tensor
    indices: Tensor
    #: (rows, length)
    tokens: Tensor
    labels: Tensor
    #: (3, rows, length)
    positions: Tensor
    rows: int
    columns: int


class Batches:
    """Batch number i is made from the seed and i alone, so training goes on where it stopped."""

    def __init__(self, tokens: PreTrainedTokenizerFast, rank: int) -> None:
        self._tokens, self._rank = tokens, rank

    def __getitem__(self, step: int) -> Batch:
        grid = Random(f"{SEED} {step}").choices(list(GRIDS), weights=list(GRIDS.values()))[0]
        rng = Random(f"{SEED} {step} {self._rank}")
        pictures = [shown(rng, grid, min(1.0, step / RAMP)) for _ in range(BATCH // PROCESSES)]
        return batch(rng, self._tokens, grid, pictures)


def shown(rng: Random, grid: tuple[int, int], progress: float) -> Printed:
    """One picture to learn from, now and then an empty one. ``progress`` from 0 to 1: how much of what is hard."""
    variety = min(VARIETY, 0.2 + progress)
    least = 1 if rng.random() < 0.2 else 3
    most = min(4 + round(4 * progress), grid[1])
    text = string(rng, least, most)
    printed = picture(rng, text, *grid, variety, rng.choice(FONTS), LEAST)
    if rng.random() < 0.01 * variety:
        blank = printed.image.resize((1, 1)).resize(printed.image.size)
        return Printed(blank, "", ())
    return printed


def batch(rng: Random, tokens: PreTrainedTokenizerFast, grid: tuple[int, int], pictures: list[Printed]) -> Batch:
    rows, columns = grid
    pixels = np.stack([np.asarray(printed.image, dtype=np.float32) for printed in pictures])
    noise = np.random.default_rng(rng.getrandbits(32))
    grain = noise.standard_normal((*pixels.shape[:3], 1), dtype=np.float32)
    pixels += grain * noise.uniform(0, GRAIN, (len(pixels), 1, 1, 1)).astype(np.float32)
    mean, deviation = np.array(MEAN, np.float32), np.array(DEVIATION, np.float32)
    pixels = (pixels.clip(0, 255) / 255 - mean) / deviation
    where = [patch_labels(printed, rows, columns) for printed in pictures]
    sequences = []
    loose = rng.random() < 0.2  # such prompts are long: all in one batch, so that the other batches are short
    image = tokens.convert_tokens_to_ids(IMAGE)
    for printed in pictures:
        prompt = tokens.encode(asked(rng, image=True, loose=loose))
        spread = [token for token in prompt for _ in range(rows * columns if token == image else 1)]
        sequences.append((spread, tokens.encode((printed.text or NO_TEXT) + END_TURN)))
    if rng.random() < 0.5:
        sequences.append((tokens.encode(asked(rng, image=False, loose=loose)), tokens.encode(NO_PICTURE + END_TURN)))
    else:
        prompt = tokens.encode(asked(rng, image=False, loose=False, words=rng.choice(ENDLESS)))
        sequences.append((prompt, tokens.encode((ascii_uppercase * 2)[:ENDLESS_LEARNT])))
    length = max(len(prompt) + len(answer) for prompt, answer in sequences)
    ids = torch.zeros(len(sequences), length, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(sequences):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        labels[row, len(prompt) - 1 : len(prompt) + len(answer) - 1] = torch.tensor(answer)
    return Batch(
        patches=as_patches(torch.from_numpy(pixels).permute(0, 3, 1, 2), rows, columns),
        characters=torch.from_numpy(np.stack([characters for characters, _ in where])),
        indices=torch.from_numpy(np.stack([indices for _, indices in where])),
        tokens=ids,
        labels=labels,
        positions=positions(ids == image, rows, columns) + far(rng, ids, sequences[-1]),
        rows=rows,
        columns=columns,
    )


def far(rng: Random, ids: Tensor, last: tuple[list[int], list[int]]) -> Tensor:
    """What the positions of the last row skip somewhere in its answer, if it is the endless one.

    So the model learns to go on far from the prompt, without sequences of that length.
    """
    skipped = torch.zeros_like(ids)
    prompt, answer = last
    if len(answer) == ENDLESS_LEARNT and rng.random() < 0.7:
        skipped[-1, len(prompt) + rng.randint(1, 20) :] = rng.randint(1, CONTEXT - 200)
    return skipped


def as_patches(pixels: Tensor, rows: int, columns: int) -> Tensor:
    """(pictures, tiles * 4, 588): tile by tile, in each its four patches, in each its channels, rows and columns."""
    half = TILE // 2
    cut = pixels.reshape(-1, 3, rows, 2, half, columns, 2, half)
    return cut.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(-1, rows * columns * 4, 3 * half * half)


def patch_labels(printed: Printed, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """(tiles, 4) each: the character that covers most of a patch's width, and the how-manieth it is."""
    half = TILE // 2
    characters = np.zeros((2 * rows, 2 * columns), dtype=np.int64)
    indices = np.zeros_like(characters)
    best = np.full(2 * columns, 3.0)
    left = np.arange(2 * columns) * half
    top = np.arange(2 * rows) * half
    for index, (character, box) in enumerate(zip(printed.text, printed.boxes, strict=True)):
        across = np.minimum(left + half, box.right) - np.maximum(left, box.left)
        down = np.minimum(top + half, box.bottom) - np.maximum(top, box.top)
        taken = across > best
        best = np.maximum(best, across)
        marked = (down > 3)[:, None] & taken[None, :]
        characters[marked] = CHARACTERS.index(character) + 1
        indices[marked] = index + 1

    def tiled(labels: np.ndarray) -> np.ndarray:
        return labels.reshape(rows, 2, columns, 2).transpose(0, 2, 1, 3).reshape(rows * columns, 4)

    return tiled(characters), tiled(indices)


def positions(image: Tensor, rows: int, columns: int) -> Tensor:
    """Qwen2-VL's positions: text counts on; a picture's tokens count down and across from where it begins."""
    number, length = image.shape
    count = torch.arange(length).expand(number, length)
    begin = torch.where(image.any(1), image.long().argmax(1), length)[:, None]
    after = count >= begin + rows * columns
    text = torch.where(after, count - rows * columns + max(rows, columns), count)
    nth = count - begin
    grid = torch.stack([torch.zeros_like(nth), nth // columns, nth % columns]) + begin
    return torch.where(image[None], grid, text[None])


class Reader(nn.Module):
    """The model with the two heads for training; pictures go through it as a batch, since they are of one size."""

    def __init__(self, model: Qwen2VLForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        text = model.config.text_config
        self.character = nn.Linear(text.hidden_size, 4 * (len(CHARACTERS) + 1))
        self.index = nn.Linear(text.hidden_size, 4 * (LONGEST + 1))

    def forward(self, given: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The losses of the answer, of the characters in patches, and of their indices."""
        seen = self.see(given)
        image = given.tokens == self.model.config.image_token_id
        embedded = self.model.model.language_model.embed_tokens(given.tokens)
        hidden, counted = self.think(embedded.masked_scatter(image[..., None], seen), given.positions)
        learnt = given.labels >= 0
        answer = cross_entropy(self.model.lm_head(hidden[learnt]).float(), given.labels[learnt])
        character = self.character(seen).view(-1, len(CHARACTERS) + 1)
        index = self.index(counted[image]).view(-1, LONGEST + 1)
        return (
            answer,
            cross_entropy(character.float(), given.characters.view(-1)),
            cross_entropy(index.float(), given.indices.view(-1)),
        )

    def see(self, given: Batch) -> Tensor:
        """What model.visual gives, (pictures * tiles, hidden): a picture's two equal frames are one here."""
        visual = self.model.model.visual
        pictures, patches, _ = given.patches.shape
        weight = visual.patch_embed.proj.weight.sum(2).flatten(1)
        hidden = linear(given.patches.to(weight.dtype), weight)
        places = visual.rotary_pos_emb(hidden, patch_positions(given.rows, given.columns))
        cosine, sine = (part[:, None, None].to(hidden.dtype) for part in places)
        for block in visual.blocks:
            attention, mlp = block.attn, block.mlp
            mixed = attention.qkv(block.norm1(hidden)).view(pictures, patches, 3, attention.num_heads, -1)
            query, key = (part.transpose(1, 2) for part in rotate(mixed[:, :, :2], cosine, sine).unbind(2))
            found = (query * attention.scaling @ key.transpose(2, 3)).softmax(-1) @ mixed[:, :, 2].transpose(1, 2)
            hidden = hidden + attention.proj(found.transpose(1, 2).flatten(2))
            # its activation, x * sigmoid(1.702 x), is silu(1.702 x) / 1.702
            opened = linear(block.norm2(hidden), mlp.fc1.weight * 1.702, mlp.fc1.bias * 1.702)
            hidden = hidden + linear(silu(opened), mlp.fc2.weight / 1.702, mlp.fc2.bias)
        return visual.merger(hidden)

    def think(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """What model.language_model gives, and what its second layer does, both (rows, length, hidden)."""
        text = self.model.model.language_model
        rows, length, _ = hidden.shape
        cosine, sine = (part[:, :, None] for part in text.rotary_emb(hidden, positions))
        counted = hidden
        for number, layer in enumerate(text.layers):
            attention, mlp = layer.self_attn, layer.mlp
            groups, size = attention.num_key_value_groups, attention.head_dim
            asked = (attention.q_proj, attention.k_proj, attention.v_proj)
            weight = torch.cat([part.weight for part in asked]) * layer.input_layernorm.weight
            mixed = linear(even(hidden), weight, torch.cat([part.bias for part in asked])).view(rows, length, -1, size)
            heads = mixed.shape[2] // (groups + 2)
            turned = rotate(mixed[:, :, :-heads], cosine, sine)
            query = turned[:, :, :-heads].view(rows, length, heads, groups, size).permute(0, 2, 3, 1, 4).flatten(2, 3)
            key, value = turned[:, :, -heads:].permute(0, 2, 3, 1), mixed[:, :, -heads:].transpose(1, 2)
            ahead = torch.full((length, length), -1e4, dtype=hidden.dtype).triu(1).repeat(groups, 1)
            found = (query * attention.scaling @ key + ahead).softmax(-1) @ value
            found = found.view(rows, heads, groups, length, size).permute(0, 3, 1, 2, 4).flatten(2)
            hidden = hidden + attention.o_proj(found)
            weight = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * layer.post_attention_layernorm.weight
            gate, up = linear(even(hidden), weight).chunk(2, dim=-1)
            hidden = hidden + mlp.down_proj(silu(gate) * up)
            if number == 1:
                counted = hidden
        return even(hidden) * text.norm.weight, counted


def rotate(parts: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = parts.chunk(2, dim=-1)
    return parts * cosine + torch.cat([-second, first], dim=-1) * sine


def even(hidden: Tensor) -> Tensor:
    """RMSNorm without its weight, which the next matrix takes in."""
    size = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
    return hidden * (hidden.shape[-1] ** 0.5 / size.clamp_min(1e-3)).to(hidden.dtype)


def patch_positions(rows: int, columns: int) -> Tensor:
    """(patches, 2): down and across, tile by tile."""
    down, across = torch.meshgrid(torch.arange(2 * rows), torch.arange(2 * columns), indexing="ij")

    def tiled(grid: Tensor) -> Tensor:
        return grid.reshape(rows, 2, columns, 2).permute(0, 2, 1, 3).flatten()

    return torch.stack([tiled(down), tiled(across)], dim=1)


def rate(step: int) -> float:
    """Warm-up, then a cosine."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    done = (step - WARM_UP) / (STEPS - WARM_UP)
    return LEAST_RATE + (PEAK_RATE - LEAST_RATE) * (1 + math.cos(math.pi * done)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "meeting").unlink(missing_ok=True)
    # Matrices this small gain little from a second thread; two processes with half a batch each gain nearly all.
    spawn(train, (given.folder,), nprocs=PROCESSES)


def train(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder.absolute()}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    model, tokens = new(SEED)
    reader = Reader(model).train()
    # The step is computed in bfloat16, which is also how the weights are stored; their exact copy learns in float32.
    exact = [parameter.detach().clone() for parameter in reader.parameters()]
    reader = reader.to(torch.bfloat16)
    rough = list(reader.parameters())
    optimiser = torch.optim.AdamW(
        [
            {"params": [parameter for parameter in exact if parameter.ndim > 1], "weight_decay": 0.05},
            {"params": [parameter for parameter in exact if parameter.ndim <= 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    checkpoint = folder / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        torch._foreach_copy_(exact, state["exact"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
        with torch.no_grad():
            torch._foreach_copy_(rough, exact)
    if rank == 0:
        print(f"{sum(p.numel() for p in model.parameters())} parameters, from step {first}", flush=True)
    began = time.monotonic()
    sums = torch.zeros(3)
    batches = Batches(tokens, rank)
    for step in range(first, STEPS):
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        losses = reader(batches[step])
        help_ = 1 - 0.8 * step / STEPS
        loss = losses[0] + help_ * (0.5 * losses[1] + 0.25 * losses[2])
        loss.backward()
        grads = [torch.zeros_like(fast) if fast.grad is None else fast.grad for fast in rough]
        flat = torch.cat([grad.float().flatten() for grad in grads])
        distributed.all_reduce(flat)
        flat /= PROCESSES
        for slow, fast, part in zip(exact, rough, flat.split([fast.numel() for fast in rough]), strict=True):
            slow.grad = part.view_as(slow)
            fast.grad = None
        nn.utils.clip_grad_norm_(exact, 1.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_copy_(rough, exact)
        sums += torch.stack([part.detach() for part in losses])
        if rank == 0 and (step + 1) % 50 == 0:
            answer, character, index = (sums / 50).tolist()
            sums.zero_()
            print(
                f"{step + 1} answer {answer:.4f} character {character:.4f} index {index:.4f} "
                f"seconds {time.monotonic() - began:.0f}",
                flush=True,
            )
        if rank == 0 and ((step + 1) % 250 == 0 or step + 1 == STEPS):
            torch.save({"exact": exact, "optimiser": optimiser.state_dict(), "step": step + 1}, checkpoint)
            save(model, tokens, folder / "weights")


if __name__ == "__main__":
    main()
