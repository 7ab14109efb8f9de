"""What proves that a model is gone: container and name, port, and GPU memory back to what it was before the container.

GPU memory comes back late: the driver clears up after the last process has ended. So it is looked at again and again,
with what everybody else took or gave back in the meantime counted out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.evidence import Holder
from orchestrator.inventory import Gpu, gib
from orchestrator.observation import Container, Observation

#: part of what was held that has to be back; the driver's own share of a process goes with the last one on the card
_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Look:
    """The GPUs and everybody who holds memory of them, at one moment. ``note``: why there are none."""

    gpus: tuple[Gpu, ...] = ()
    holders: tuple[Holder, ...] = ()
    note: str = ""

    def gpu(self, name: str) -> Gpu | None:
        """The GPU with this id."""
        return next((gpu for gpu in self.gpus if gpu.id == name), None)

    def on(self, gpu: str) -> tuple[Holder, ...]:
        """Who holds memory of this GPU."""
        return tuple(holder for holder in self.holders if holder.gpu == gpu)


@dataclass(frozen=True, slots=True)
class Held:
    """What one container held of one GPU before it was removed. ``bytes`` is None where the driver did not tell."""

    container_id: str
    gpu: str
    bytes: int | None
    pids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Missing:
    """What was to be proved of containers, by their ids, and is not so (yet)."""

    containers: frozenset[str]
    what: str
    hint: str


def held(containers: Sequence[Container], before: Look) -> tuple[Held, ...]:
    """What each container held of its GPUs, and of others if it got at them. Nothing where no driver answers."""
    found: list[Held] = []
    for container in containers:
        own = [h for h in before.holders if h.container_id == container.id]
        gpus = {*container.gpus, *(h.gpu for h in own)} & {gpu.id for gpu in before.gpus}
        for gpu in sorted(gpus):
            sizes = [h.bytes for h in own if h.gpu == gpu]
            known = [size for size in sizes if size is not None]
            total = sum(known) if len(known) == len(sizes) else None
            found.append(Held(container.id, gpu, total, frozenset(h.pid for h in own if h.gpu == gpu)))
    return tuple(found)


def missing(
    containers: Sequence[Container],
    helds: Sequence[Held],
    before: Look,
    seen: Observation,
    now: Look,
    neighbours: Collection[str] = (),
) -> tuple[Missing, ...]:
    """Everything that is not proved yet. ``seen`` was observed with listeners.

    ``neighbours``: ids of containers that were there before; one may have the same port of another address.
    """
    found = [problem for container in containers for problem in _place(container, seen, neighbours)]
    for gpu in dict.fromkeys(h.gpu for h in helds):
        found += _memory([h for h in helds if h.gpu == gpu], before, now, seen)
    return tuple(found)


def _place(container: Container, seen: Observation, neighbours: Collection[str]) -> Iterator[Missing]:
    """Container, name and port."""
    there = {c.id: c.state for c in seen.containers}
    if container.id in there:
        yield Missing(
            frozenset({container.id}),
            f"the container {container.name} is still {there[container.id]}",
            f"'docker rm --force {container.id[:12]}' shows why; a process that can't be killed waits for the kernel",
        )
        return
    names = {c.name: c.id for c in seen.containers} | {f.name: f.id for f in seen.foreign}
    if container.name in names:
        yield Missing(
            frozenset({container.id}),
            f"the name {container.name} was taken again by another container ({names[container.name][:12]})",
            "somebody else starts it: see who calls docker compose for it",
        )
    holder = seen.holder(container.port) if container.published else None
    if holder is not None and holder.container_id not in neighbours:
        yield Missing(
            frozenset({container.id}),
            f"port {container.port} is still held by {holder.holder}",
            "end that process; a docker-proxy without a container is a leftover of Docker, and its restart clears it",
        )


def _memory(helds: Sequence[Held], before: Look, now: Look, seen: Observation) -> Iterator[Missing]:
    """Of one GPU, all containers together: nobody can say whose memory it was that did not come back."""
    gpu, ids = helds[0].gpu, frozenset(h.container_id for h in helds)
    if _blind(before.gpu(gpu), now.gpu(gpu)):
        why = (later.note if (later := now.gpu(gpu)) is not None else now.note) or "the driver does not answer"
        yield Missing(
            ids, f"{card(gpu, before)} can't be looked at any more: {why}", "'orchestrator doctor' shows more"
        )
        return
    names = {c.id: c.name for c in seen.containers} | {f.id: f.name for f in seen.foreign}
    pids = frozenset(pid for h in helds for pid in h.pids)
    still = [h for h in now.on(gpu) if h.pid in pids]
    returned = _returned(gpu, pids, before, now)
    owed = sum(h.bytes or 0 for h in helds)
    if not still and (returned is None or returned >= _SHARE * owed):
        return
    strange = [h for h in now.on(gpu) if _newcomer(h, gpu, before)]
    lacking = owed - max(0, returned) if returned is not None else owed
    label = card(gpu, now)
    size = f"{gib(lacking)} of" if lacking > 0 else "memory of"
    guilty = still or strange
    what = (
        f"{size} {label} did not come back: {', '.join(person(h, names) for h in guilty) or 'the driver names nobody'}"
    )
    yield Missing(ids, what, _remedy(guilty))


def _blind(then: Gpu | None, later: Gpu | None) -> bool:
    """Whether the driver tells less of the GPU than before, which must not look as if all had come back."""
    if then is None or later is None:
        return later is None
    return (then.usable and not later.usable) or (then.free is not None and later.free is None)


def _returned(gpu: str, pids: Collection[int], before: Look, now: Look) -> int | None:
    """Bytes that came back, what others did in the meantime counted out; None where the driver does not tell.

    A newcomer in no container is not counted as an other: it may be what the container left.
    """
    then, later = before.gpu(gpu), now.gpu(gpu)
    if then is None or later is None or then.free is None or later.free is None:
        return None
    others_then = [h.bytes for h in before.on(gpu) if h.pid not in pids]
    others_now = [h.bytes for h in now.on(gpu) if h.pid not in pids and not _newcomer(h, gpu, before)]
    if None in (*others_then, *others_now):
        return None
    return later.free - then.free + sum(filter(None, others_now)) - sum(filter(None, others_then))


def _newcomer(holder: Holder, gpu: str, before: Look) -> bool:
    return not holder.container_id and holder.pid not in {h.pid for h in before.on(gpu)}


def _remedy(guilty: Sequence[Holder]) -> str:
    last = "'nvidia-smi --gpu-reset' while nobody uses the GPU, or a restart of the host, takes it back for sure"
    if not guilty:
        return f"wait a moment and look with 'nvidia-smi'; {last}"
    return f"if they are not needed: 'kill {' '.join(str(h.pid) for h in guilty)}', then 'kill -9'; {last}"


def person(holder: Holder, names: dict[str, str]) -> str:
    """A process for people: pid, command, container or user, and what it holds."""
    whose = (
        f"of container {names.get(holder.container_id) or holder.container_id[:12]}"
        if holder.container_id
        else f"of user {holder.user}"
        if holder.user
        else "of an unknown user"
    )
    return f"pid {holder.pid} ({holder.command or 'unknown'}) {whose} holds {gib(holder.bytes)}"


def card(gpu: str, look: Look) -> str:
    """A GPU for people: ``GPU 0``."""
    known = look.gpu(gpu)
    return f"GPU {known.index}" if known is not None and known.index else f"GPU {gpu}"


def words(container: Container, helds: Sequence[Held], look: Look) -> str:
    """What was proved of a container, in one line."""
    proved = ["container and name are gone"]
    if container.published:
        proved.append(f"port {container.port} is free")
    proved.extend(_came_back(h, look) for h in helds if h.container_id == container.id)
    if container.gpus and not look.gpus:
        proved.append(f"GPU memory could not be looked at ({look.note or 'no driver answers'})")
    return ", ".join(proved)


def _came_back(h: Held, look: Look) -> str:
    label = card(h.gpu, look)
    if not h.pids:
        return f"the driver told of nothing that it held of {label}"
    if h.bytes is None:
        return f"its processes are off {label} (the driver does not tell how much they held)"
    return f"{gib(h.bytes)} of {label} came back"
