"""Settings by which clients find the models that run: Open WebUI, LiteLLM, OpenAI's own libraries.

No key is in them: a shell reads it from its file, or LiteLLM from a variable. The names of settings are those of
https://docs.openwebui.com (OPENAI_API_BASE_URLS), https://docs.litellm.ai/docs/proxy/configs and
https://github.com/openai/openai-python (OPENAI_BASE_URL).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

#: where nobody asks for a key: clients insist on having one
_NO_KEY = "none"
_VARIABLE = "ORCHESTRATOR_API_KEY"


@dataclass(frozen=True, slots=True)
class Served:
    """One model that runs. ``key_file``: the file with the key that callers need; "" where they need none."""

    model: str
    service: str
    base_url: str
    key_file: str
    ready: bool


def openai_text(served: Sequence[Served]) -> str:
    """Shell lines for one model."""
    (one,) = served
    return f"export OPENAI_BASE_URL={shlex.quote(one.base_url)}\nexport OPENAI_API_KEY={_key(one)}\n"


def open_webui_text(served: Sequence[Served]) -> str:
    """Shell lines for all of them: one list of addresses, and one of keys in the same order."""
    urls = shlex.quote(";".join(one.base_url for one in served))
    keys = "';'".join(_key(one) for one in served)
    return f"export OPENAI_API_BASE_URLS={urls}\nexport OPENAI_API_KEYS={keys}\n"


def litellm_text(served: Sequence[Served]) -> str:
    """The part ``model_list`` of a config.yaml. Services of one model share its name: LiteLLM balances between them."""
    files = list(dict.fromkeys(one.key_file for one in served if one.key_file))
    names = {file: _VARIABLE + (f"_{number}" if number > 1 else "") for number, file in enumerate(files, 1)}
    head = "".join(f'# export {names[file]}="$(cat {shlex.quote(file)})"\n' for file in files)
    return f"{head}model_list:\n" + "".join(
        f"  - model_name: {json.dumps(one.model)}\n"
        "    litellm_params:\n"
        f"      model: {json.dumps(f'openai/{one.model}')}\n"
        f"      api_base: {json.dumps(one.base_url)}\n"
        f"      api_key: {json.dumps(f'os.environ/{names[one.key_file]}' if one.key_file else _NO_KEY)}\n"
        "    model_info:\n"
        "      supports_vision: true\n"
        for one in served
    )


def clients_json(client: str, served: Sequence[Served], network: str) -> dict[str, object]:
    """Stable shape, version 1. ``network``: the one that the client's container has to be on; "" for none."""
    return {
        "schema": 1,
        "client": client,
        "network": network or None,
        "models": [
            {
                "model": one.model,
                "service": one.service,
                "base_url": one.base_url,
                "api_key_file": one.key_file or None,
                "ready": one.ready,
            }
            for one in served
        ],
    }


def _key(one: Served) -> str:
    """A word of shell. The path is quoted again by what surrounds it."""
    return f'"$(cat {shlex.quote(one.key_file)})"' if one.key_file else _NO_KEY
