"""Recipes: weights of a real architecture, tiny and untrained, made from a seed, for use without a hub."""

#: Each value is the module that makes it; imported only when asked for, since it needs PyTorch.
RECIPES = {"qwen2-vl-tiny": "qwen2_vl_tiny"}
