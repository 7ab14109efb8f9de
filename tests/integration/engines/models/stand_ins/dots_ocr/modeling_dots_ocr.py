"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: rednote-hilab/dots.ocr, as of the copy of September 2025 named in tests/integration/engines/published.json.
"""

from typing import Any

from transformers.models.qwen2 import Qwen2ForCausalLM

from .configuration_dots import DotsOCRConfig, DotsVisionConfig
from .modeling_dots_vision import DotsVisionTransformer


class DotsOCRForCausalLM(Qwen2ForCausalLM):
    config_class = DotsOCRConfig

    def __init__(self, config: DotsOCRConfig) -> None:
        super().__init__(config)
        if isinstance(config.vision_config, dict):
            config.vision_config = DotsVisionConfig(**config.vision_config)
        self.vision_tower = DotsVisionTransformer(config.vision_config)

    def prepare_inputs_embeds(
        self, input_ids: Any, pixel_values: Any = None, grid_thw: Any = None, img_mask: Any = None
    ) -> Any:
        embeddings = self.get_input_embeddings()(input_ids)
        if pixel_values is None:
            return embeddings
        seen = self.vision_tower(pixel_values, grid_thw).to(embeddings)
        # As published: a prompt with more or fewer image tokens than the images have ends here.
        assert seen.shape[0] == img_mask.sum(), f"{seen.shape[0]} image embeddings for {img_mask.sum()} tokens"
        return embeddings.masked_scatter(img_mask.unsqueeze(-1), seen)

    def forward(
        self,
        input_ids: Any,
        pixel_values: Any = None,
        image_grid_thw: Any = None,
        inputs_embeds: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **loss_kwargs: Any,
    ) -> Any:
        if inputs_embeds is None:
            mask = input_ids == self.config.image_token_id
            inputs_embeds = self.prepare_inputs_embeds(input_ids, pixel_values, image_grid_thw, mask)
        return super().forward(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            labels=labels,
            use_cache=self.config.use_cache if use_cache is None else use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            logits_to_keep=logits_to_keep,
            **loss_kwargs,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: Any,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        pixel_values: Any = None,
        attention_mask: Any = None,
        cache_position: Any = None,
        num_logits_to_keep: Any = None,
        **kwargs: Any,
    ) -> Any:
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            cache_position=cache_position,
            num_logits_to_keep=num_logits_to_keep,
            **kwargs,
        )
        if cache_position is None or cache_position[0] == 0:
            inputs["pixel_values"] = pixel_values
        return inputs
