"""What is ours on the machine: containers, leftovers, volumes and the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from orchestrator.checkup.values import Finding
from orchestrator.diagnosis import UNKNOWN, diagnose
from orchestrator.observation import Container, LockState, Observation, Remains
from orchestrator.plan.leftovers import Leftover
from orchestrator.plan.request import DEFAULT_PROJECT

_ours = partial(Finding, ours=True)
_FIX = "'orchestrator doctor --fix' removes it"


def command(project: str, words: str) -> str:
    """A command line of ours for a project."""
    return f"'orchestrator{'' if project == DEFAULT_PROJECT else f' --project {project}'} {words}'"


def failures(seen: Observation, leftovers: Sequence[Leftover]) -> Iterator[Finding]:
    """Containers that waiting won't help. Leftovers that don't run are told of as such."""
    left = {leftover.id for leftover in leftovers if not leftover.running}
    failed = [c for c in seen.containers if c.failed and c.id not in left]
    for c in failed:
        why = diagnose(c)
        reason = f": {why.what}" if why else ""
        hint = why.remedy if why and why.cause != UNKNOWN else command(c.project, f"logs {c.service}")
        yield _ours("containers", "problem", f"{c.name} is {c.phase}{reason}", hint, where=f"container {c.name}")
    if not failed:
        yield _ours("containers", "ok", f"{len(seen.containers)} of ours, none failed")


def gpu_access(answers: Mapping[Container, str | None]) -> Iterator[Finding]:
    """Containers whose driver no longer answers them. ``answers``: why nvidia-smi failed inside, "" where it did not.

    ``systemctl daemon-reload`` takes the devices of containers away whose groups systemd manages, without a word
    (NVIDIA/nvidia-container-toolkit issue 48). What runs goes on until it opens the GPU again.
    """
    lost = {c: why for c, why in answers.items() if why}
    for c, why in lost.items():
        yield _ours(
            "GPU access",
            "problem",
            f"{c.name} can't reach its GPU any more, while the host can: {why}",
            f"{command(c.project, f'restart {c.service}')} gives it back; 'systemctl daemon-reload' may take it, "
            "which CDI, or Docker's cgroup driver cgroupfs, prevents",
            where=f"container {c.name}",
        )
    unknown = [c.name for c, why in answers.items() if why is None]
    if unknown:
        yield _ours("GPU access", "note", f"{', '.join(unknown)}: could not be asked whether the GPU is there")
    if answers and not lost and not unknown:
        yield _ours("GPU access", "ok", f"{len(answers)} containers reach their GPUs")


def remnants(found: Sequence[Leftover], documents: Sequence[Leftover]) -> Iterator[Finding]:
    """Leftovers. What runs, and documents, are for a human to judge."""
    for left in found:
        where = f"{left.kind} {left.name}"
        if left.running:
            yield _ours(
                "leftovers",
                "note",
                f"{left.name} runs, and {left.why}",
                f"{command(left.project, 'down --all')} removes all of its project; 'up' describes a model again",
                where=where,
            )
        else:
            yield _ours("leftovers", "note", f"{left.name}: {left.why}", _FIX, where=where, fixes=(left,))
    for left in documents:
        service = left.name.removesuffix(".yaml")
        hint = f"delete it, or {command(left.project, f'down {service}')}"
        yield _ours("leftovers", "note", f"{left.name}: {left.why}", hint, where=left.id)
    if not found and not documents:
        yield _ours("leftovers", "ok", "none")


def volumes(remains: Remains, marked: Sequence[str], owner: str, *, able: bool) -> Iterator[Finding]:
    """Volumes whose root is another user's, or whose preparation was cut off. ``able``: an image for it is here."""
    odd = [v for v in remains.volumes if v.owner not in {owner, ""}]
    for v in remains.volumes:
        wrong = v in odd
        if not wrong and (v.name not in marked):
            continue
        why = f"it belongs to {v.owner} instead of {owner}" if wrong else "its preparation was cut off"
        by_hand = f"'docker run --rm --user 0:0 --entrypoint chown -v {v.name}:/v IMAGE {owner} /v' mends it"
        yield _ours(
            "volumes",
            "problem" if wrong else "note",
            f"{v.name}: {why}",
            "'orchestrator doctor --fix' mends it" if able else f"{by_hand}, with any image that has chown",
            where=f"volume {v.name}",
            fixes=(Leftover("volume", v.name, f"given to {owner}", v.name),) if able else (),
        )
    there = {v.name for v in remains.volumes}
    for name in sorted(set(marked) - there):
        mark = Leftover("mark", name, "the volume is gone", name)
        yield _ours(
            "volumes", "note", f"{name}: marked as unprepared, and gone", _FIX, where="the state folder", fixes=(mark,)
        )
    if not odd and not marked:
        yield _ours("volumes", "ok", f"{len(there)} of ours, and the containers' user can write where it can be seen")


def lock(state: LockState, drafts: Sequence[str]) -> Iterator[Finding]:
    """The host's lock, and files that a dead writer left."""
    if state.held and state.note and not state.alive:
        who = ", ".join(state.keepers) or "a process of another user"
        yield _ours(
            "lock",
            "problem",
            f"{state.note} is dead, and what it started holds the lock: {who}",
            "wait for its end; if it hangs, end it",
            where=state.where,
        )
    elif state.held:
        yield _ours("lock", "note", f"{state.note or 'another orchestrator'} is at work", where=state.where)
    elif state.note:
        left = Leftover("lock", state.note, "it died without giving the lock back", state.where)
        detail = f"{state.note} died without giving it back; nothing waits for it"
        yield _ours("lock", "note", detail, "the next command clears the note", where=state.where, fixes=(left,))
    else:
        yield _ours("lock", "ok", "free")
    for draft in drafts:
        left = Leftover("draft", draft, "its writer died", draft)
        yield _ours("leftovers", "note", f"{draft}: its writer died", _FIX, where=draft, fixes=(left,))
