"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
"""

from typing import Any

import torch
from torch import nn
from transformers import LlamaForCausalLM
from transformers.modeling_utils import PreTrainedModel

from .configuration_internvl_chat import InternVLChatConfig
from .conversation import get_conv_template
from .modeling_intern_vit import InternVisionModel, has_flash_attn
from .modeling_internlm2 import InternLM2ForCausalLM


class InternVLChatModel(PreTrainedModel):
    config_class = InternVLChatConfig
    main_input_name = "pixel_values"
    base_model_prefix = "language_model"
    _supports_flash_attn_2 = True
    supports_gradient_checkpointing = True
    _no_split_modules = ("InternVisionModel", "LlamaDecoderLayer", "InternLM2DecoderLayer")

    def __init__(
        self,
        config: InternVLChatConfig,
        vision_model: Any = None,
        language_model: Any = None,
        use_flash_attn: bool = True,
    ) -> None:
        super().__init__(config)
        assert config.ps_version == "v2"
        size = config.force_image_size or config.vision_config.image_size
        self.patch_size = config.vision_config.patch_size
        self.select_layer = config.select_layer
        self.template = config.template
        self.downsample_ratio = config.downsample_ratio
        self.ps_version = config.ps_version
        self.num_image_token = int((size // self.patch_size) ** 2 * self.downsample_ratio**2)
        flash = use_flash_attn and has_flash_attn
        config.vision_config.use_flash_attn = flash
        config.llm_config.attn_implementation = "flash_attention_2" if flash else "eager"
        kinds = {"LlamaForCausalLM": LlamaForCausalLM, "InternLM2ForCausalLM": InternLM2ForCausalLM}
        language = kinds[config.llm_config.architectures[0]]
        self.vision_model = vision_model or InternVisionModel(config.vision_config)
        self.language_model = language_model or language(config.llm_config)
        width = config.vision_config.hidden_size * round(1 / self.downsample_ratio) ** 2
        inner = config.llm_config.hidden_size
        self.mlp1 = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, inner))
        self.img_context_token_id: int | None = None
        self.conv_template = get_conv_template(self.template)
        self.system_message = self.conv_template.system_message

    def forward(
        self,
        pixel_values: Any,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        image_flags: Any = None,
        past_key_values: Any = None,
        labels: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        seen = self.extract_feature(pixel_values)[image_flags.squeeze(-1) == 1]
        return self.language_model(
            inputs_embeds=self._placed(input_ids, seen),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )

    def _placed(self, input_ids: Any, seen: Any) -> Any:
        embeddings = self.language_model.get_input_embeddings()(input_ids)
        chosen = input_ids == self.img_context_token_id
        assert chosen.sum() != 0
        embeddings[chosen] = seen.reshape(-1, embeddings.shape[-1]).to(embeddings.device)
        return embeddings

    def pixel_shuffle(self, x: Any, scale_factor: float = 0.5) -> Any:
        """(tiles, rows, columns, width): each square of patches becomes one, as much wider as they were many."""
        tiles, rows, columns, width = x.shape
        step = round(1 / scale_factor)
        squares = x.view(tiles, rows // step, step, columns // step, step, width).transpose(2, 3)
        return squares.reshape(tiles, rows // step, columns // step, width * step**2)

    def extract_feature(self, pixel_values: Any) -> Any:
        last = self.select_layer == -1
        output = self.vision_model(pixel_values=pixel_values, output_hidden_states=not last, return_dict=True)
        patches = (output.last_hidden_state if last else output.hidden_states[self.select_layer])[:, 1:]
        side = int(patches.shape[1] ** 0.5)
        grid = self.pixel_shuffle(patches.unflatten(1, (side, side)), scale_factor=self.downsample_ratio)
        return self.mlp1(grid.flatten(1, 2))

    def batch_chat(
        self,
        tokenizer: Any,
        pixel_values: Any,
        questions: list[str],
        generation_config: dict[str, Any],
        num_patches_list: list[int] | None = None,
        history: Any = None,
        return_history: bool = False,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
        image_counts: Any = None,
    ) -> list[str]:
        prompts = []
        for question, tiles in zip(questions, num_patches_list or [], strict=True):
            marks = [f"{IMG_START_TOKEN}{IMG_CONTEXT_TOKEN * self.num_image_token * tiles}{IMG_END_TOKEN}"]
            asked = question if "<image>" in question or pixel_values is None else f"<image>\n{question}"
            prompts.append(self._prompt([], asked, marks))
        tokenizer.padding_side = "left"
        return self._answers(tokenizer, pixel_values, prompts, generation_config, IMG_CONTEXT_TOKEN)

    def chat(
        self,
        tokenizer: Any,
        pixel_values: Any,
        question: str,
        generation_config: dict[str, Any],
        history: Any = None,
        return_history: bool = False,
        num_patches_list: list[int] | None = None,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
    ) -> Any:
        if history is None and pixel_values is not None and "<image>" not in question:
            question = f"<image>\n{question}"
        tiles = num_patches_list or ([] if pixel_values is None else [len(pixel_values)])
        marks = [f"{IMG_START_TOKEN}{IMG_CONTEXT_TOKEN * self.num_image_token * n}{IMG_END_TOKEN}" for n in tiles]
        prompt = self._prompt(history or [], question, marks)
        [answer] = self._answers(tokenizer, pixel_values, [prompt], generation_config, IMG_CONTEXT_TOKEN)
        return (answer, [*(history or []), (question, answer)]) if return_history else answer

    def _prompt(self, history: Any, question: str, marks: list[str]) -> str:
        template = get_conv_template(self.template)
        template.system_message = self.system_message
        for asked, answered in [*history, (question, None)]:
            template.append_message(template.roles[0], asked)
            template.append_message(template.roles[1], answered)
        prompt = template.get_prompt()
        for mark in marks:
            prompt = prompt.replace("<image>", mark, 1)
        return prompt

    def _answers(
        self, tokenizer: Any, pixel_values: Any, prompts: list[str], how: dict[str, Any], context: str
    ) -> list[str]:
        end = self.conv_template.sep.strip()
        self.img_context_token_id = tokenizer.convert_tokens_to_ids(context)
        inputs = tokenizer(prompts, return_tensors="pt", padding=len(prompts) > 1).to(self.device)
        how["eos_token_id"] = tokenizer.convert_tokens_to_ids(end)
        found = self.generate(
            pixel_values=pixel_values,
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            **how,
        )
        return [text.split(end)[0].strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)]

    @torch.no_grad()
    def generate(
        self,
        pixel_values: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        visual_features: Any = None,
        generation_config: Any = None,
        output_hidden_states: bool | None = None,
        **generate_kwargs: Any,
    ) -> Any:
        assert self.img_context_token_id is not None
        if pixel_values is not None:
            seen = self.extract_feature(pixel_values) if visual_features is None else visual_features
            embeddings = self._placed(input_ids, seen)
        else:
            embeddings = self.language_model.get_input_embeddings()(input_ids)
        return self.language_model.generate(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            generation_config=generation_config,
            output_hidden_states=output_hidden_states,
            use_cache=True,
            **generate_kwargs,
        )

    @property
    def lm_head(self) -> Any:
        return self.language_model.get_output_embeddings()

    def get_input_embeddings(self) -> Any:
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        return self.language_model.get_output_embeddings()
