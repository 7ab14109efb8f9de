"""Registry entries as text, for the tests of the loader."""

from __future__ import annotations

ENTRY = """\
schema_version: 1
name: {name}
title: Phi
summary: A model
source:
  repository: owner/phi
  licence: MIT
architecture:
  name: PhiForCausalLM
  model_type: phi
  family: phi3-vision
  layers: 2
  kv_heads: 2
  head_size: 32
  hidden_size: 128
  context: 4096
  source: its config
parameters:
  total: 1000
  modules:
    - {{part: vision, kind: linear, count: 100, rows: 10, matrices: 1}}
    - {{part: language, kind: linear, count: 800, rows: 20, matrices: 2}}
    - {{part: language, kind: other, count: 100}}
  source: its config
images:
  tokens: 256
  patches: 1024
  bytes_per_patch: 4096
  source: its config
prompt:
  template: "{{image}}{{question}}"
probe:
  prompt: Read it.
engines:
  vllm:
    evidence: {{level: none}}
    port: {port}
    max_model_len: 2048
    image: vllm/vllm-openai:v0.33.0
"""
#: the line of the first key below ``engines.vllm`` of ENTRY
VLLM_LINE = 36


def entry(name: str = "phi", port: int = 25000) -> str:
    """A valid entry."""
    return ENTRY.format(name=name, port=port)


def changed(before: str, after: str, text: str | None = None) -> str:
    """The valid entry (or the text) with one piece replaced, which has to be there once."""
    text = entry() if text is None else text
    assert text.count(before) == 1, before
    return text.replace(before, after)
