"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
As published: one static cache of 2048 places for one request at a time, the tokenizer of another repository, settings
that must name a variant when an image is not encoded yet, no check that an answer fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import nn

from .config import MoondreamConfig
from .image_crops import reconstruct_from_crops
from .lora import variant_state_dict
from .region import (
    SpatialRefs,
    decode_coordinate,
    decode_size,
    encode_coordinate,
    encode_size,
    encode_spatial_refs,
)
from .text import build_text_model, lm_head, text_decoder, text_encoder
from .vision import build_vision_model, prepare_crops, vision_encoder, vision_projection


class ImageEncodingSettings(TypedDict, total=False):
    variant: str


class TextSamplingSettings(TypedDict, total=False):
    max_tokens: int
    temperature: float
    top_p: float
    variant: str


class ObjectSamplingSettings(TypedDict, total=False):
    max_objects: int
    variant: str


DEFAULT_MAX_TOKENS = 768
DEFAULT_TEMPERATURE = 0.5
DEFAULT_TOP_P = 0.3
DEFAULT_MAX_OBJECTS = 50


@dataclass(frozen=True)
class EncodedImage:
    pos: int
    caches: list[tuple[Any, Any]]


class KVCache(nn.Module):
    def __init__(self, n_heads: int, n_kv_heads: int, max_context: int, dim: int, device: Any, dtype: Any) -> None:
        super().__init__()
        shape = (1, n_kv_heads, max_context, dim // n_heads)
        self.register_buffer("k_cache", torch.zeros(shape, device=device, dtype=dtype))
        self.register_buffer("v_cache", torch.zeros(shape, device=device, dtype=dtype))

    def update(self, pos_ids: Any, k: Any, v: Any) -> Any:
        self.k_cache[:, :, pos_ids, :] = k
        self.v_cache[:, :, pos_ids, :] = v
        return self.k_cache, self.v_cache


class MoondreamModel(nn.Module):
    def __init__(self, config: MoondreamConfig, dtype: Any = torch.bfloat16, setup_caches: bool = True) -> None:
        super().__init__()

        def dense(inner: int, outer: int) -> Any:
            return nn.Linear(inner, outer, dtype=dtype)

        def two(inner: int, middle: int, outer: int) -> Any:
            return nn.ModuleDict({"fc1": dense(inner, middle), "fc2": dense(middle, outer)})

        self.config = config
        self.tokenizer = Tokenizer.from_pretrained("moondream/starmie-v1")
        self.vision = build_vision_model(config.vision, dtype)
        self.text = build_text_model(config.text, dtype)
        region = config.region
        self.region = nn.ModuleDict(
            {
                "coord_encoder": dense(region.coord_feat_dim, region.dim),
                "coord_decoder": two(region.dim, region.inner_dim, region.coord_out_dim),
                "size_encoder": dense(region.size_feat_dim, region.dim),
                "size_decoder": two(region.dim, region.inner_dim, region.size_out_dim),
            }
        )
        self.region.coord_features = nn.Parameter(torch.empty(1, region.coord_feat_dim // 2, dtype=dtype))
        self.region.size_features = nn.Parameter(torch.empty(2, region.size_feat_dim // 2, dtype=dtype))
        places = config.text.max_context
        mask = torch.ones(1, 1, places, places, dtype=torch.bool).tril()
        prefix = 1 + (config.vision.crop_size // config.vision.enc_patch_size) ** 2
        mask[..., :prefix, :prefix] = True
        self.register_buffer("attn_mask", mask, persistent=False)
        if setup_caches:
            self._setup_caches()

    def _setup_caches(self) -> None:
        text = self.config.text
        for block in self.text.blocks:
            block.kv_cache = KVCache(
                text.n_heads,
                text.n_kv_heads,
                text.max_context,
                text.dim,
                device=self.device,
                dtype=self.vision.pos_emb.dtype,
            )

    @property
    def device(self) -> Any:
        return self.vision.pos_emb.device

    def _prefill(self, x: Any, attn_mask: Any, pos_ids: Any, lora: Any) -> Any:
        return text_decoder(x, self.text, attn_mask, pos_ids, self.config.text, lora)

    def _decode_one_tok(self, x: Any, attn_mask: Any, pos_ids: Any, lora: Any) -> Any:
        hidden = text_decoder(x, self.text, attn_mask, pos_ids, self.config.text, lora)
        return lm_head(hidden, self.text), hidden

    def compile(self) -> None:
        """The published one compiles; a stand-in is quick enough."""

    def _run_vision_encoder(self, image: Any) -> Any:
        config = self.config.vision
        crops, tiling = prepare_crops(image, config, device=self.device)
        features = vision_encoder(crops, self.vision, config)
        side = config.crop_size // config.enc_patch_size
        tiles = features[1:].unflatten(1, (side, side))
        whole = reconstruct_from_crops(tiles, tiling, patch_size=1, overlap_margin=config.overlap_margin)
        return vision_projection(features[0], whole, self.vision, config)

    def encode_image(self, image: Any, settings: ImageEncodingSettings | None = None) -> EncodedImage:
        if isinstance(image, EncodedImage):
            return image
        if not isinstance(image, Image.Image):
            raise ValueError("image must be a PIL Image or EncodedImage")  # noqa: TRY004 - as published
        lora = None
        if settings is not None and settings["variant"] is not None:
            lora = variant_state_dict(settings["variant"], device=self.device)
        with torch.inference_mode():
            start = text_encoder(torch.tensor([[self.config.tokenizer.bos_id]], device=self.device), self.text)
            embedded = torch.cat([start, self._run_vision_encoder(image)[None]], dim=1)
            length = embedded.shape[1]
            self._prefill(embedded, self.attn_mask[:, :, :length, :], torch.arange(length), lora)
            caches = [
                (block.kv_cache.k_cache[:, :, :length].clone(), block.kv_cache.v_cache[:, :, :length].clone())
                for block in self.text.blocks
            ]
        return EncodedImage(pos=length, caches=caches)

    def load_encoded_image(self, encoded_image: EncodedImage) -> None:
        for block, (keys, values) in zip(self.text.blocks, encoded_image.caches, strict=True):
            block.kv_cache.k_cache[:, :, : keys.shape[2]] = keys
            block.kv_cache.v_cache[:, :, : values.shape[2]] = values

    def _choose(self, logits: Any, temperature: float, top_p: float) -> Any:
        if temperature == 0:
            return logits.argmax(dim=-1, keepdim=True)
        chances, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
        chances[chances.cumsum(dim=-1) - chances > top_p] = 0.0
        return order.gather(-1, torch.multinomial(chances, num_samples=1))

    def _prefill_prompt(
        self,
        prompt_tokens: Any,
        pos: int,
        temperature: float,
        top_p: float,
        spatial_refs: SpatialRefs | None = None,
        attn_mask: Any = None,
        lora: Any = None,
    ) -> Any:
        with torch.inference_mode():
            embedded = text_encoder(prompt_tokens, self.text)
            if spatial_refs:
                refs = encode_spatial_refs(spatial_refs, self.region)
                embedded[prompt_tokens == self.config.tokenizer.coord_id] = refs["coords"]
                if refs["sizes"] is not None:
                    embedded[prompt_tokens == self.config.tokenizer.size_id] = refs["sizes"]
            end = pos + embedded.shape[1]
            mask = (self.attn_mask if attn_mask is None else attn_mask)[:, :, pos:end, :]
            hidden = self._prefill(embedded, mask, torch.arange(pos, end), lora)
            logits = lm_head(hidden, self.text)
            return logits, hidden, self._choose(logits, temperature, top_p), end

    def _tokens(
        self,
        prompt_tokens: Any,
        pos: int,
        settings: TextSamplingSettings | None,
        spatial_refs: SpatialRefs | None,
        attn_mask: Any,
        end: int,
        never: int,
    ) -> Iterator[int]:
        asked = settings or {}
        temperature, top_p = asked.get("temperature", DEFAULT_TEMPERATURE), asked.get("top_p", DEFAULT_TOP_P)
        lora = variant_state_dict(asked["variant"], device=self.device) if "variant" in asked else None
        _, _, token, pos = self._prefill_prompt(
            prompt_tokens, pos, temperature, top_p, spatial_refs, attn_mask=attn_mask, lora=lora
        )
        mask = torch.zeros(1, 1, 2048, device=self.device, dtype=torch.bool)
        mask[:, :, :pos] = True
        for _ in range(asked.get("max_tokens", DEFAULT_MAX_TOKENS)):
            if token.item() == end:
                return
            yield int(token.item())
            with torch.inference_mode():
                mask[:, :, pos] = True
                logits, _ = self._decode_one_tok(text_encoder(token, self.text), mask, torch.tensor([pos]), lora)
                logits[:, never] = float("-inf")
                token = self._choose(logits, temperature, top_p)
            pos += 1

    def _generate_answer(
        self,
        prompt_tokens: Any,
        pos: int,
        settings: TextSamplingSettings | None = None,
        spatial_refs: SpatialRefs | None = None,
        eos_id: int | None = None,
        attn_mask: Any = None,
    ) -> Iterator[str]:
        """Pieces of text, each up to a blank, a line's end or a Chinese character: words come whole."""
        marks = self.config.tokenizer
        end = marks.eos_id if eos_id is None else eos_id
        cached: list[int] = []
        told = 0
        for token in self._tokens(prompt_tokens, pos, settings, spatial_refs, attn_mask, end, marks.answer_id):
            cached.append(token)
            text = self.tokenizer.decode(cached)
            until = len(text) if text.endswith("\n") or _ends_chinese(text) else text.rfind(" ", told) + 1
            if until > told:
                yield text[told:until]
                told = until
            if text.endswith("\n"):
                cached, told = [], 0
        rest = self.tokenizer.decode(cached)[told:]
        if rest:
            yield rest

    def query(
        self,
        image: Any = None,
        question: str | None = None,
        reasoning: bool = False,
        spatial_refs: SpatialRefs | None = None,
        stream: bool = False,
        settings: TextSamplingSettings | None = None,
    ) -> dict[str, Any]:
        if question is None:
            raise ValueError("question must be provided.")
        if spatial_refs and image is None:
            raise ValueError("spatial_refs can only be used with an image.")
        marks = self.config.tokenizer
        template = marks.templates["query"]
        if template is None:
            raise NotImplementedError("Model does not support querying.")
        if image is not None:
            image = self.encode_image(image, settings)
            self.load_encoded_image(image)
            pos, prompt, mask = image.pos, list(template["prefix"]), self.attn_mask
        else:
            self._setup_caches()
            pos, prompt, mask = 0, [marks.bos_id, *template["prefix"]], torch.ones_like(self.attn_mask).tril()
        for ref in spatial_refs or []:
            prompt += [marks.coord_id] * 2 + ([] if len(ref) == 2 else [marks.size_id])
        prompt += [*self.tokenizer.encode(question).ids, *template["suffix"]]
        thought: dict[str, Any] = {}
        if reasoning:
            thinking = self._row([*prompt, marks.thinking_id])
            thoughts = list(self._tokens(thinking, pos, settings, spatial_refs, mask, marks.answer_id, marks.eos_id))
            thought = {"reasoning": {"text": self.tokenizer.decode(thoughts), "grounding": []}}
            pos += thinking.shape[1] + len(thoughts)
            prompt, spatial_refs = list(template["suffix"]), None
        else:
            prompt += template["suffix"]
        pieces = self._generate_answer(self._row(prompt), pos, settings, spatial_refs, attn_mask=mask)
        return thought | {"answer": pieces if stream else "".join(pieces)}

    def caption(
        self,
        image: Any,
        length: Literal["normal", "short", "long"] = "normal",
        stream: bool = False,
        settings: TextSamplingSettings | None = None,
    ) -> dict[str, Any]:
        template = self.config.tokenizer.templates["caption"]
        if template is None:
            raise NotImplementedError("Model does not support captioning.")
        if length not in template:
            raise ValueError(f"Model does not support caption length '{length}'.")
        image = self.encode_image(image, settings)
        self.load_encoded_image(image)
        pieces = self._generate_answer(self._row(template[length]), image.pos, settings)
        return {"caption": pieces if stream else "".join(pieces)}

    def _row(self, tokens: list[int]) -> Any:
        return torch.tensor([tokens], device=self.device)

    def _find(
        self, what: str, image: Any, name: str, settings: ObjectSamplingSettings | None
    ) -> list[dict[str, float]]:
        template = self.config.tokenizer.templates[what]
        if template is None:
            raise NotImplementedError(f"Model does not support {what}.")
        image = self.encode_image(image, settings)
        self.load_encoded_image(image)
        prompt = self._row([*template["prefix"], *self.tokenizer.encode(" " + name).ids, *template["suffix"]])
        _, hidden, token, pos = self._prefill_prompt(prompt, image.pos, temperature=0, top_p=0)
        most = (settings or {}).get("max_objects", DEFAULT_MAX_OBJECTS)
        return self._generate_points(hidden[:, -1:, :], token, pos, include_size=what == "detect", max_objects=most)

    def _generate_points(
        self,
        hidden: Any,
        next_token: Any,
        pos: int,
        include_size: bool = True,
        max_objects: int = DEFAULT_MAX_OBJECTS,
        lora: Any = None,
    ) -> list[dict[str, float]]:
        found: list[dict[str, float]] = []
        mask = torch.zeros(1, 1, 2048, device=self.device, dtype=torch.bool)
        mask[:, :, :pos] = True

        def step(embedded: Any) -> Any:
            nonlocal pos
            mask[:, :, pos] = True
            result = self._decode_one_tok(embedded, mask, torch.tensor([pos]), lora)
            pos += 1
            return result

        with torch.inference_mode():
            while next_token.item() != self.config.tokenizer.eos_id and len(found) < max_objects:
                middle = []
                for _ in ("x", "y"):
                    logits = decode_coordinate(hidden, self.region)
                    place = logits.argmax(dim=-1) / logits.shape[-1]
                    middle.append(place.item())
                    embedded = encode_coordinate(place.to(logits.dtype), self.region).unsqueeze(0)
                    if len(middle) == 1:
                        _, hidden = step(embedded)
                x, y = middle
                if include_size:
                    _, hidden = step(embedded)
                    sizes = decode_size(hidden, self.region)
                    wide, high = (2.0 ** (sizes.argmax(dim=-1).float() / 1023.0 * 10.0 - 10.0)).tolist()
                    size = torch.tensor([wide, high], device=self.device, dtype=sizes.dtype)
                    embedded = encode_size(size, self.region)[None, None]
                    found.append(
                        {"x_min": x - wide / 2, "y_min": y - high / 2, "x_max": x + wide / 2, "y_max": y + high / 2}
                    )
                else:
                    found.append({"x": x, "y": y})
                logits, hidden = step(embedded)
                next_token = logits.argmax(dim=-1)
        return found

    def detect(self, image: Any, object: str, settings: ObjectSamplingSettings | None = None) -> dict[str, Any]:
        return {"objects": self._find("detect", image, object, settings)}

    def point(self, image: Any, object: str, settings: ObjectSamplingSettings | None = None) -> dict[str, Any]:
        return {"points": self._find("point", image, object, settings)}

    def detect_gaze(
        self,
        image: Any,
        eye: tuple[float, float] | None = None,
        face: dict[str, float] | None = None,
        unstable_settings: dict[str, Any] = {},  # noqa: B006 - as published
    ) -> dict[str, Any]:
        raise NotImplementedError("a stand-in does not follow a gaze")


def _ends_chinese(text: str) -> bool:
    """Does the text end in a Chinese character?"""
    code = ord(text[-1]) if text else 0
    return 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x2F800 <= code <= 0x2FA1F
