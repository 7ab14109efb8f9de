"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: microsoft/Phi-3-vision-128k-instruct, as of the copy named in tests/integration/engines/published.json.
As published: image k's tokens are the id -k, ``input_ids`` are changed in place, and tiles have 336 x 336 pixels.
Not as published: the size of CLIP. It is fixed there; here it is that one, or a small one, as ``image_dim_out`` has it.
"""

from typing import Any

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, PretrainedConfig

MAX_INPUT_ID = int(1e9)
TILE = 336
#: Sizes of CLIP by ``image_dim_out``: the published ones, and small ones. Layers, heads and the width inside.
CLIP = {1024: (24, 16, 4096), 32: (3, 2, 64)}


class Phi3ImageEmbedding(nn.Module):
    def __init__(self, config: PretrainedConfig, wte: Any = None, **kwargs: Any) -> None:
        super().__init__()
        self.wte = wte
        self.image_dim_out = config.img_processor["image_dim_out"]
        layers, heads, inside = CLIP[self.image_dim_out]
        self.img_processor = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_act="quick_gelu",
                hidden_size=self.image_dim_out,
                image_size=TILE,
                intermediate_size=inside,
                num_attention_heads=heads,
                num_hidden_layers=layers,
                patch_size=14,
            )
        )
        self.num_img_tokens = config.img_processor["num_img_tokens"]
        self.layer_idx = config.img_processor.get("layer_idx", -2)
        self.hd_transform_order = kwargs.get("hd_transform_order", "glb_sub")
        assert kwargs["use_hd_transform"]
        assert kwargs["with_learnable_separator"]
        assert kwargs["projection_cls"] == "mlp"
        width = self.image_dim_out * 4
        self.glb_GN = nn.Parameter(torch.zeros([1, 1, width]))
        self.sub_GN = nn.Parameter(torch.zeros([1, 1, 1, width]))
        self.img_projection = nn.Sequential(
            nn.Linear(width, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )
        self.vocab_size = config.vocab_size

    def get_img_features(self, img_embeds: Any) -> Any:
        return self.img_processor(img_embeds, output_hidden_states=True).hidden_states[self.layer_idx][:, 1:]

    def forward(self, input_ids: Any, pixel_values: Any, image_sizes: Any = None) -> Any:
        places = torch.nonzero((input_ids < 0) & (input_ids > -MAX_INPUT_ID), as_tuple=True)
        input_ids.clamp_min_(0).clamp_max_(self.vocab_size)
        hidden_states = self.wte(input_ids)
        if len(places[0]) == 0:
            return hidden_states
        images, tiles, channels, height, width = pixel_values.shape
        assert channels == 3
        assert height == width == TILE
        features = self.get_img_features(pixel_values.flatten(0, 1)).view(images, tiles, -1, self.image_dim_out)
        return hidden_states.index_put(places, self.hd_feature_transform(features, image_sizes))

    def hd_feature_transform(self, image_features: Any, image_sizes: Any) -> Any:
        """Per image: the tiles as one grid, row by row with a line end each, a separator, and the whole image."""
        assert self.hd_transform_order == "sub_glb"
        rows = []
        for features, (height, width) in zip(image_features, image_sizes.tolist(), strict=True):
            down, across = height // TILE, width // TILE
            whole = self.add_image_newline(self.reshape_hd_patches_2x2merge(features[:1], 1, 1))
            tiles = self.reshape_hd_patches_2x2merge(features[1 : 1 + down * across], down, across)
            rows += [self.add_image_newline(tiles)[0], self.glb_GN[0], whole[0]]
        return self.img_projection(torch.cat(rows).to(self.img_projection[0].weight))

    def reshape_hd_patches_2x2merge(self, image_features: Any, h_crop: int, w_crop: int) -> Any:
        """(tiles, 576, width) to (1, rows, columns, 4 * width): tiles put together, then 2 x 2 patches merged."""
        side = int(image_features.shape[1] ** 0.5)
        grid = image_features.view(h_crop, w_crop, side, side, -1).transpose(1, 2)
        grid = grid.reshape(1, h_crop * side // 2, 2, w_crop * side // 2, 2, image_features.shape[-1])
        return grid.transpose(2, 3).flatten(3)

    def add_image_newline(self, image_features_hd: Any) -> Any:
        """(1, rows, columns, width) to (1, rows * (columns + 1), width)."""
        ends = self.sub_GN.expand(1, image_features_hd.shape[1], 1, -1)
        return torch.cat([image_features_hd, ends], dim=2).flatten(1, 2)
