"""The ways in which one model can be run on this host, best first: (engine, device, claim)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import EnvironmentProblem, FitError, RequestError
from orchestrator.inventory import Host
from orchestrator.memory import Claim, claim
from orchestrator.plan.request import Request
from orchestrator.registry.spec import Engine, EngineName, ModelSpec

Device = Literal["gpu", "cpu"]
#: below this much free memory on the best GPU the founding report prefers Transformers, above it vLLM where it may
_SMALL_GPU = 6 * 10**9


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run a model. ``pinned`` is the id of the only GPU allowed; "" leaves it open."""

    model: str
    engine: EngineName
    device: Device
    claim: Claim
    pinned: str = ""
    warnings: tuple[str, ...] = ()


def options(spec: ModelSpec, request: Request, host: Host, keep: EngineName | None = None) -> tuple[Option, ...]:
    """Every way that the registry, the request and the host allow, best first; an error with the reason where none is.

    ``keep`` is the engine of a container of the model that exists already; it stays unless another is asked for.
    """
    pinned = host.gpu(request.gpu).id if request.gpu else ""
    found: list[Option] = []
    for name in _engines(spec, request, host, keep):
        engine = spec.engine(name)
        assert engine is not None  # noqa: S101 (_engines names only those that exist)
        for device in engine.devices:
            if device == "cpu" and not pinned:
                found.append(Option(spec.name, name, "cpu", Claim(), warnings=_warnings(spec, name, engine)))
            elif device == "gpu" and host.gpus:
                found.append(Option(spec.name, name, "gpu", claim(spec, name), pinned, _warnings(spec, name, engine)))
    if not found:
        raise _nowhere(spec, host, pinned)
    return tuple(found)


def _engines(spec: ModelSpec, request: Request, host: Host, keep: EngineName | None) -> tuple[EngineName, ...]:
    if request.mode != "auto":
        engine = spec.engine(request.mode)
        if engine is None:
            raise RequestError(
                f"{spec.name} has no {request.mode} entry in the registry",
                hint=f"see 'orchestrator models show {spec.name}'",
            )
        if not engine.possible:
            reason = engine.problems[0].text if engine.problems else "the registry says so"
            raise RequestError(
                f"{spec.name} can't run on {request.mode}: {reason}",
                hint="leave --mode out to let the plan choose",
            )
        return (request.mode,)
    order: tuple[EngineName, ...] = (
        ("transformers", "vllm") if _most_free(host) < _SMALL_GPU else ("vllm", "transformers")
    )
    possible = [name for name in order if (engine := spec.engine(name)) and engine.possible]
    if keep in possible:
        return (keep,)
    allowed = tuple(name for name in possible if (engine := spec.engine(name)) and engine.report.allowed)
    if not allowed:
        raise RequestError(
            f"{spec.name} has no engine that may be chosen without being asked for",
            hint=f"name one: {' or '.join(f'--mode {name}' for name in possible)}" if possible else "",
        )
    return allowed


def _most_free(host: Host) -> int:
    return max((gpu.free if gpu.free is not None else gpu.total or 0 for gpu in host.gpus), default=0)


def refuse_unpinned(specs: Sequence[ModelSpec]) -> None:
    """RequestError naming every entry whose repository's own code would run at an unknown revision."""
    unpinned = [spec.name for spec in specs if spec.source.unpinned_code]
    if unpinned:
        raise RequestError(
            f"the repository's own code would run, and no revision of it is pinned: {', '.join(unpinned)}",
            where="source.revision is null in the registry",
            hint="pin a revision that you have read, in an entry of your own, or take the newest with --allow-unpinned",
        )


def _warnings(spec: ModelSpec, name: EngineName, engine: Engine) -> tuple[str, ...]:
    found = []
    if spec.source.unpinned_code:
        found.append(f"{spec.name}: runs the newest code of {spec.source.repository}, no revision is pinned")
    if not engine.report.allowed:
        found.append(
            f"{spec.name}: the founding report does not allow {name}, the facts do "
            f"('orchestrator models show {spec.name}')"
        )
    reported = engine.report.memory_gb
    weights = claim(spec, name).lines[0].size if "gpu" in engine.devices else 0
    if reported is not None and reported * 10**9 < weights:
        found.append(
            f"{spec.name}: the report's {reported} GB for {name} is below the bare weights ({weights / 10**9:.2f} GB); "
            "the plan uses the computed claim"
        )
    return tuple(found)


def _nowhere(spec: ModelSpec, host: Host, pinned: str) -> FitError | EnvironmentProblem | RequestError:
    if pinned:
        return RequestError(f"{spec.name} does not run on a GPU", hint="leave --gpu out")
    return FitError(
        f"{spec.name} needs a GPU, and {host.name} has none that can be used",
        where=host.gpu_note,
        hint="run 'orchestrator doctor' for what is missing",
    )
