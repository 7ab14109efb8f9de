"""The steps from what is to what was asked for, each with its cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from orchestrator.drift.values import Drift, words
from orchestrator.errors import FitError
from orchestrator.observation import Container, Image, Observation

Kind = Literal[
    "pull",
    "build",
    "volume",
    "create",
    "replace",
    "restart",
    "start",
    "keep",
    "stop",
    "remove",
    "sleep",
    "wake",
    "restore",
]
#: kinds that change nothing
IDLE: frozenset[Kind] = frozenset({"keep"})
#: kinds that end the life of a container that may be in use
DESTRUCTIVE: frozenset[Kind] = frozenset({"replace", "remove"})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``subject`` is an image, a volume or a service; ``target`` the id of a container that exists."""

    kind: Kind
    subject: str
    cause: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """What a rendered document asks for, as far as the steps need to know it."""

    service: str
    model: str
    container: str
    image: str
    built: bool
    """Whether the image is built here rather than pulled."""
    image_source: str
    """Digest of what an image of ours would be built from now."""
    digest: str
    command: tuple[str, ...]
    port: int
    gpus: tuple[str, ...]
    volumes: tuple[str, ...]
    address: str
    key_file: str
    """The file with the API key that callers need; "" for none."""


def steps(
    desired: Sequence[Desired],
    observation: Observation,
    unfinished: frozenset[str],
    leaving: Sequence[Container] = (),
    drifts: Mapping[str, Sequence[Drift]] = MappingProxyType({}),
) -> tuple[Step, ...]:
    """Images and volumes first, then what goes, then one step for each service, in the order given.

    ``unfinished``: volumes whose preparation was begun and never ended. ``leaving``: containers that serve nothing that
    is wanted. ``drifts``: by service, where its container is not as its labels say. What a cut-off start left goes too.
    Raises FitError where a foreign container has a name of ours.
    """
    observation = observation.without(leaving)
    owned = {c.name: c for c in observation.containers}
    _refuse_foreign(desired, observation)
    images = _images(desired, observation.images)
    rebuilt = {step.subject for step in images}
    volumes = sorted({v for d in desired for v in d.volumes} - (observation.volumes - unfinished))
    return (
        *images,
        *(
            Step("volume", name, "no such volume" if name not in observation.volumes else "its preparation was cut off")
            for name in volumes
        ),
        *(step for d in desired for step in _leftovers(d, observation)),
        *(Step("remove", c.service, _why_gone(c, desired), c.id) for c in leaving),
        *(
            _in_turn(
                _service(d, owned.get(d.container), observation.images, rebuilt, drifts.get(d.service, ())),
                d,
                observation,
            )
            for d in desired
        ),
    )


def _refuse_foreign(desired: Sequence[Desired], observation: Observation) -> None:
    foreign = {f.name: f.id for f in observation.foreign}
    taken = [d.container for d in desired if d.container in foreign]
    if taken:
        raise FitError(
            f"the container name {taken[0]} is taken by a container that is not ours ({foreign[taken[0]][:12]})",
            hint=f"rename or remove it ('docker rename {taken[0]} NEW'), or use another project with --project",
        )
    posing = {f.compose: f.name for f in observation.foreign if f.compose}
    adopted = [d for d in desired if d.container in posing]
    if adopted:
        raise FitError(
            f"{posing[adopted[0].container]} is not ours, but carries Compose's labels of our {adopted[0].service}, "
            "so that Compose would replace it",
            hint="remove it, or use another project with --project",
        )


def _leftovers(want: Desired, observation: Observation) -> Iterator[Step]:
    """Compose replaces a container by one that has another name until the old one is gone; its end may come between."""
    for c in observation.containers:
        if f"{c.project}-{c.service}" == want.container != c.name:
            yield Step("remove", c.service, f"{c.name} was left by a replacement that was cut off", c.id)


def _why_gone(container: Container, desired: Sequence[Desired]) -> str:
    other = next((d.service for d in desired if d.model == container.model), "")
    return f"{other} takes its place" if other else f"{container.model} is not in the fleet"


def _images(desired: Sequence[Desired], present: Mapping[str, Image]) -> tuple[Step, ...]:
    found: dict[str, Step] = {}
    for want in desired:
        have = present.get(want.image)
        if have is None:
            kind: Kind = "build" if want.built else "pull"
            found[want.image] = Step(kind, want.image, "image is missing")
        elif want.built and want.image_source and have.source != want.image_source:
            found[want.image] = Step("build", want.image, "its sources changed")
    return tuple(found.values())


def _in_turn(step: Step, want: Desired, observation: Observation) -> Step:
    """The step, with whom it waits for: a GPU is busy while any container on it, of any project, is not ready."""
    if step.kind == "keep":
        return step
    busy = sorted(
        c.name
        for c in observation.containers
        if c.running and not (c.ready or c.asleep or c.failed) and c.id != step.target and set(c.gpus) & set(want.gpus)
    )
    return replace(step, cause=f"{step.cause}; it waits for {', '.join(busy)} on its GPU") if busy else step


def _service(
    want: Desired, have: Container | None, images: Mapping[str, Image], rebuilt: set[str], drifts: Sequence[Drift]
) -> Step:
    if have is None:
        return Step("create", want.service, "no container")
    changed = _changed(want, have, images, rebuilt) or _drifted(drifts)
    if changed:
        return Step("replace", want.service, changed, have.id)
    if not have.running:
        return Step("start", want.service, f"it is {have.phase}{_because(have.error)}", have.id)
    if have.phase == "parked":
        return Step("restart", want.service, f"it is parked{_because(have.gate.reason if have.gate else '')}", have.id)
    if have.asleep:
        return Step("wake", want.service, "it is asleep", have.id)
    remarks = (*(d.words for d in drifts), *(() if have.ready else (f"it is {have.phase}",)))
    return Step("keep", want.service, "; ".join(["nothing changed", *remarks]), have.id)


def _changed(want: Desired, have: Container, images: Mapping[str, Image], rebuilt: set[str]) -> str:
    """Why the container can't serve what is wanted; "" if it can."""
    if have.digest != want.digest:
        return _difference(want, have)
    if have.key_file != want.key_file:
        return f"API key file changed: {have.key_file} -> {want.key_file}"
    if want.image in rebuilt or have.image_id != images[want.image].id:
        return "image was rebuilt"
    return f"it was created but never started{_because(have.error)}" if have.state == "created" else ""


def _drifted(drifts: Sequence[Drift]) -> str:
    """What was changed in the container by hand, other than by orchestrator; "" where the model runs as it should."""
    harmful = [drift for drift in drifts if not drift.harmless]
    return f"changed by hand: {words(harmful)}" if harmful else ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _difference(want: Desired, have: Container) -> str:
    """What changed, as precisely as the container tells; "settings changed" where it does not."""
    name, _, pin = want.image.partition("@")
    if pin and name == have.image:
        return f"image pinned: {name} -> {_short(pin)}"
    told = (
        ("image", *versions(have.image, want.image)),
        ("GPU", _names(have.gpus), _names(want.gpus)),
        ("port", have.port, want.port),
        ("address", have.address, want.address),
    )
    for what, old, new in told:
        if old != new:
            return f"{what} changed: {old} -> {new}"
    if bool(have.key_file) != bool(want.key_file):
        return f"API key: callers {'need one now' if want.key_file else 'need none any more'}"
    if have.command != want.command:
        return f"command changed: {_first_change(have.command, want.command)}"
    return "settings changed"


def versions(old: str, new: str) -> tuple[str, str]:
    """Two image references for people: only their tags where the rest is the same, and ids cut short."""
    (name, tag), (other, changed) = _tagged(old), _tagged(new)
    if name == other and tag and changed and tag != changed:
        return tag, changed
    return _short(old), _short(new)


def _tagged(reference: str) -> tuple[str, str]:
    """Name and tag, also of one with a digest; no tag for a reference by digest alone, or with a port alone."""
    plain = reference.partition("@")[0]
    name, _, tag = plain.rpartition(":")
    return (name, tag) if name and "/" not in tag and name != "sha256" else (plain, "")


def _short(reference: str) -> str:
    name, mark, digest = reference.rpartition("sha256:")
    return f"{name}{mark}{digest[:12]}" if mark else reference


def _names(gpus: tuple[str, ...]) -> str:
    return ", ".join(gpus) or "CPU"


def _first_change(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    flag = new[at - 1] if 0 < at <= len(new) and new[at - 1].startswith("--") else ""
    before = old[at] if at < len(old) else "nothing"
    after = new[at] if at < len(new) else "nothing"
    return f"{flag} {before} -> {after}".strip()


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, and everything worth saying before it is."""

    project: str
    host: str
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether nothing would change."""
        return all(step.kind in IDLE for step in self.steps)

    def of(self, *kinds: Kind) -> tuple[Step, ...]:
        """The steps of these kinds, in order."""
        return tuple(step for step in self.steps if step.kind in kinds)


def removal(project: str, host: str, containers: Sequence[Container], why: str) -> Plan:
    """The plan that removes these containers."""
    return Plan(project, host, tuple(Step("remove", c.service, why, c.id) for c in containers))
