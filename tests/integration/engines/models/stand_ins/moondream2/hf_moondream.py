"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
As published: the configuration drops what config.json says under "config", and three modules (layers, lora, rope) are
imported only by other modules, so that transformers does not copy them from a local folder.
"""

from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from .config import MoondreamConfig
from .image_crops import *  # noqa: F403 - as published, so that transformers copies the module
from .moondream import MoondreamModel
from .region import *  # noqa: F403
from .text import *  # noqa: F403
from .utils import *  # noqa: F403
from .vision import *  # noqa: F403


class HfConfig(PretrainedConfig):
    _auto_class = "AutoConfig"
    model_type = "moondream1"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {}


class HfMoondream(PreTrainedModel):
    _auto_class = "AutoModelForCausalLM"
    config_class = HfConfig

    def __init__(self, config: HfConfig) -> None:
        super().__init__(config)
        self.model = MoondreamModel(MoondreamConfig.from_dict(config.config), setup_caches=False)
        self._is_kv_cache_setup = False

    def _setup_caches(self) -> None:
        if not self._is_kv_cache_setup:
            self.model._setup_caches()
            self._is_kv_cache_setup = True

    @property
    def encode_image(self) -> Any:
        self._setup_caches()
        return self.model.encode_image

    @property
    def query(self) -> Any:
        self._setup_caches()
        return self.model.query

    @property
    def caption(self) -> Any:
        self._setup_caches()
        return self.model.caption

    @property
    def detect(self) -> Any:
        self._setup_caches()
        return self.model.detect

    @property
    def point(self) -> Any:
        self._setup_caches()
        return self.model.point

    @property
    def detect_gaze(self) -> Any:
        self._setup_caches()
        return self.model.detect_gaze

    def answer_question(
        self,
        image_embeds: Any,
        question: str,
        tokenizer: Any = None,
        chat_history: str = "",
        result_queue: Any = None,
        max_new_tokens: int = 256,
        **kwargs: Any,
    ) -> str:
        return str(self.query(image_embeds, question)["answer"]).strip()

    def batch_answer(self, images: Any, prompts: Any, tokenizer: Any = None, **kwargs: Any) -> list[str]:
        return [self.answer_question(image, prompt) for image, prompt in zip(images, prompts, strict=True)]

    def generate(
        self, image_embeds: Any, prompt: str, tokenizer: Any, max_new_tokens: int = 128, **kwargs: Any
    ) -> list[str]:
        return [self.answer_question(image_embeds, prompt)]

    def get_input_embeddings(self) -> Any:
        return nn.Embedding.from_pretrained(self.model.text.wte)

    def set_input_embeddings(self, value: Any) -> None:
        self.model.text.wte = value.weight

    def input_embeds(self, input_ids: Any, *, device: Any = None) -> Any:
        return self.get_input_embeddings()(torch.as_tensor(input_ids, device=device))
