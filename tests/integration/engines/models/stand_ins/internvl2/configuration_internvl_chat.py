"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
"""

import copy
from typing import Any

from transformers import LlamaConfig
from transformers.configuration_utils import PretrainedConfig

from .configuration_intern_vit import InternVisionConfig
from .configuration_internlm2 import InternLM2Config


class InternVLChatConfig(PretrainedConfig):
    model_type = "internvl_chat"
    is_composition = True

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        llm_config: dict[str, Any] | None = None,
        use_backbone_lora: int = 0,
        use_llm_lora: int = 0,
        select_layer: int = -1,
        force_image_size: int | None = None,
        downsample_ratio: float = 0.5,
        template: str | None = None,
        dynamic_image_size: bool = False,
        use_thumbnail: bool = False,
        ps_version: str = "v1",
        min_dynamic_patch: int = 1,
        max_dynamic_patch: int = 6,
        **kwargs: Any,
    ) -> None:
        own = {name: value for name, value in locals().items() if name not in {"self", "kwargs", "__class__"}}
        super().__init__(**kwargs)
        own["vision_config"] = InternVisionConfig(**(vision_config or {}))
        language = llm_config or {"architectures": ["InternLM2ForCausalLM"]}
        kinds = {"LlamaForCausalLM": LlamaConfig, "InternLM2ForCausalLM": InternLM2Config}
        own["llm_config"] = kinds[language["architectures"][0]](**language)
        for name, value in own.items():
            setattr(self, name, value)
        self.tie_word_embeddings = self.llm_config.tie_word_embeddings

    def to_dict(self) -> dict[str, Any]:
        output = copy.deepcopy(self.__dict__)
        output["vision_config"] = self.vision_config.to_dict()
        output["llm_config"] = self.llm_config.to_dict()
        output["model_type"] = self.model_type
        return output
