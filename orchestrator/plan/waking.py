"""Whether sleeping models get their memory back, and whether a GPU is quiet enough to change what is on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.errors import FitError, OrchestratorError
from orchestrator.inventory import Host, gib
from orchestrator.observation import RESIDUE, Container
from orchestrator.plan.assignment import Rooms, rooms
from orchestrator.plan.refusal import commands, enough


def room_to_wake(
    sleepers: Sequence[Container], host: Host, containers: Sequence[Container], others: Mapping[str, int]
) -> tuple[Rooms, dict[str, OrchestratorError]]:
    """What is left on each GPU once these are awake, and by model why some can't be: they keep what they hold.

    ``containers``: all that stay, the sleepers may be among them. ``others``: bytes of each GPU that are in none.
    """
    left: Rooms = rooms(host, containers, others)
    stuck: dict[str, OrchestratorError] = {}
    for sleeper in sorted(sleepers, key=lambda c: c.name):
        # Its own memory is its own: what it holds now is a part of its claim.
        more = sleeper.claim - sleeper.holds
        beside = [c for c in containers if c.id != sleeper.id]
        try:
            refuse_while_starting(sleeper, beside)
            for gpu in sleeper.gpus:
                if (room := left.get(gpu)) is not None and room < more:
                    raise _refusal(sleeper, gpu, more - room, beside, others.get(gpu, 0))
        except OrchestratorError as error:
            stuck[sleeper.model] = error
            continue
        left = {gpu: room if room is None or gpu not in sleeper.gpus else room - more for gpu, room in left.items()}
    return left, stuck


def refuse_while_starting(container: Container, containers: Sequence[Container]) -> None:
    """OrchestratorError while another starts on its GPU: vLLM measures the GPU then, and counts what others change."""
    busy = next(
        (c for c in containers if c.id != container.id and c.phase == "starting" and set(c.gpus) & set(container.gpus)),
        None,
    )
    if busy is not None:
        raise OrchestratorError(
            f"{busy.name} is starting on the GPU of {container.model}, and an engine measures the GPU's memory then",
            where=f"GPU {', '.join(sorted(set(busy.gpus) & set(container.gpus)))}",
            hint="try again when 'orchestrator status' shows it ready",
        )


def _refusal(sleeper: Container, gpu: str, missing: int, beside: Sequence[Container], others: int) -> FitError:
    here = sorted((c for c in beside if c.running and gpu in c.gpus and c.holds), key=lambda c: c.name)
    taken = [f"{c.name} {'holds' if c.asleep else 'claims'} {gib(c.holds)}" for c in here]
    taken += [f"processes in no container of ours hold {gib(others)}"] if others else []
    return FitError(
        f"{sleeper.model} can't wake: it claims {gib(sleeper.claim)} of GPU {gpu}, and {gib(missing)} are missing",
        where=f"GPU {gpu}: {', '.join(taken) or 'nobody that Docker or the driver names holds it'}",
        hint=_hint(here, missing),
    )


def _hint(here: Sequence[Container], missing: int) -> str:
    able = [c for c in here if c.can_sleep and not c.asleep]
    asleep = enough([(c, c.claim - min(c.claim, RESIDUE)) for c in able], missing)
    stopped = enough([(c, c.holds) for c in here], missing)
    ways = [*([commands("sleep", asleep)] if asleep else []), *([commands("stop", stopped)] if stopped else [])]
    if ways:
        return f"{' or '.join(ways)} makes room"
    return "'nvidia-smi' shows the processes that hold the GPU's memory"
