"""Who reaches a model, and what that asks for: beyond this host an API key, and no development endpoints. Pure."""

from __future__ import annotations

from orchestrator.errors import RequestError
from orchestrator.observation import Container
from orchestrator.plan.options import Device
from orchestrator.plan.request import LOOPBACK, Request, beyond_loopback
from orchestrator.registry.spec import Engine, EngineName, Vllm

#: seen with vLLM 0.32.0: its key guards /v1 and three other prefixes, and nothing else
_OPEN_PATHS = (
    "vLLM answers /invocations, /tokenize and /metrics without the API key to all who reach the port; let a proxy or "
    "firewall pass /v1 only"
)
#: vLLM 0.33.0's source: /collective_rpc, /server_info, updates of the weights and more, outside the key's prefixes
_DEVELOPMENT = (
    "sleep mode opens vLLM's development endpoints, without the API key, to every program of this host and every "
    "container of the project's network"
)


def asks_for_key(model: str, request: Request, address: str, old: Container | None) -> bool:
    """Beyond loopback always; on it where that is asked for, or is so already. RequestError for no key beyond it."""
    if not beyond_loopback(address):
        return bool(old and old.key_file) if request.api_key is None else request.api_key
    if request.api_key is False:
        raise RequestError(
            f"{model} is published on {address}, and that needs an API key",
            hint=f"leave --no-api-key out, or publish it on loopback with --address {LOOPBACK}",
        )
    return True


def has_sleep_mode(model: str, engine: Engine, device: Device, address: str) -> bool:
    """Whether it is started for sleep mode, which only a GPU has. RequestError for it beyond loopback."""
    if not (isinstance(engine, Vllm) and engine.sleep_mode and device == "gpu"):
        return False
    if beyond_loopback(address):
        raise RequestError(
            f"{model} would be published on {address} with sleep mode, and that opens vLLM's development endpoints, "
            "whatever the API key, to all who reach the port",
            where="engines.vllm.sleep_mode in its entry",
            hint=f"leave sleep_mode out, or publish it on {LOOPBACK}",
        )
    return True


def open_to_all(model: str, engine: EngineName, address: str, *, sleep_mode: bool) -> tuple[str, ...]:
    """Warnings of what answers without the API key."""
    found = [_OPEN_PATHS] if engine == "vllm" and beyond_loopback(address) else []
    found += [_DEVELOPMENT] if sleep_mode else []
    return tuple(f"{model}: {words}" for words in found)
