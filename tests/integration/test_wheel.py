"""The built wheel, installed outside the checkout, serves a user's own model by the same code as the demo."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.integration.cli import DEMO, REPOSITORY, Cli, read_yaml, steps, write_yaml
from tests.integration.engine import Engine

PORT = 24700
#: nothing leads to the checkout
PLAIN = {"PYTHONPATH": ""}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel; what the wheel depends on is that of the tests."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    # A .pth inside the added folder is not read, so the checkout's own editable installation stays out.
    (site / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_carries_everything(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    checkout = [
        path
        for folder in ("orchestrator", "templates")
        for path in sorted((REPOSITORY / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    files = [str(path.relative_to(REPOSITORY)) for path in checkout]
    assert {name if name.startswith("orchestrator") else f"orchestrator/{name}" for name in files} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    pages = {name.rpartition("/")[2] for name in names if "/data/share/man/man1/" in name}
    assert pages == {page.name for page in (REPOSITORY / "docs" / "man").iterdir()}
    assert not [name for name in names if name.startswith("tests") or "__pycache__" in name]


def test_a_users_own_model_from_the_installed_wheel(
    engine: Engine, cpu_image: str, installed: Path, tmp_path: Path
) -> None:
    cli = Cli(engine, tmp_path / "elsewhere", program=(str(installed / "bin/orchestrator"),), extra=PLAIN)
    entry = read_yaml(DEMO)
    entry.update(name="mine", title="A model of my own")
    entry["engines"] = {"transformers": entry["engines"]["transformers"] | {"port": PORT}}
    write_yaml(cli.registry / "mine.yaml", entry)

    up = cli.run("up", "mine", timeout=300)
    assert cpu_image not in steps(up.out), "the sources in the wheel are those of the checkout, so the image is fresh"
    assert "mine-transformers: ready, answered" in up.err
    assert cli.run("ask", "mine", "What is this?", "--max-tokens", "8").out.strip()
    assert re.search(rf"{re.escape(cpu_image)} +built", cli.run("image", "list").out)
    cli.run("render", "mine", "--output", str(tmp_path / "rendered"))
    assert (tmp_path / "rendered" / "mine-transformers.yaml").is_file()
    cli.run("down", "mine")


def test_the_wheel_is_what_runs(engine: Engine, installed: Path, tmp_path: Path) -> None:
    where = "import orchestrator; print(orchestrator.__file__)"
    argv = [str(installed / "bin/python"), "-c", where]
    cli = Cli(engine, tmp_path, program=(str(installed / "bin/orchestrator"),), extra=PLAIN)
    done = subprocess.run(argv, cwd=tmp_path, env=cli.env, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(installed)
    assert cli.run("--version").out.startswith("orchestrator, version")


def test_nothing_knows_the_demo_by_its_name() -> None:
    """The entry demo.yaml is like any other: no code, template or image speaks of it."""
    paths = [p for folder in ("orchestrator", "templates") for p in sorted((REPOSITORY / folder).rglob("*"))]
    told = [
        f"{path}: {line}"
        for path in paths
        if path.suffix in {".py", ".j2", ""} and path.is_file()
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bdemo\b", line)
    ]
    assert not told
