"""Model families: what differs between models is the prompt, the image processing and the model class.

Each value is the module of an adapter; it is imported only when its family is served, since one image
holds the libraries of one dependency family only.
"""

FAMILIES = {"qwen2-vl": "qwen2_vl"}
