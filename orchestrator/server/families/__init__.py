"""Model families: what differs between models is the prompt, the image processing and the model class.

Each value is the module of an adapter; it is imported only when its family is served, since one image
holds the libraries of one dependency family only.
"""

FAMILIES = {
    "dots-ocr": "dots_ocr",
    "got-ocr2": "got_ocr2",
    "internvl2": "internvl2",
    "moondream2": "moondream2",
    "phi3-vision": "phi3_vision",
    "qwen2-vl": "qwen2_vl",
}
