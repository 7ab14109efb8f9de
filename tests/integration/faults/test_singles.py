"""One thing broken at a time: it is named, nothing is left of the try, and once it is whole again all is well."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.integration.cli import Cli
from tests.integration.faults.campaign import Seen, judge, left, named
from tests.integration.faults.injections import PORT, well
from tests.integration.faults.singles import SINGLES, Single

_READY = re.compile(r"tiny-transformers: ready|^tiny .* ready ", re.MULTILINE)


@pytest.mark.parametrize("fault", SINGLES, ids=lambda fault: fault.name)
def test_what_is_broken_is_named(cli: Cli, library: Path, fault: Single) -> None:
    cli.entry("tiny", port=PORT, devices=("gpu",) if fault.gpu else ("cpu",))
    (cli.folder / "nvml.script").write_text(well())
    cli.extra |= {"LD_LIBRARY_PATH": str(library), "NVML_SCRIPT": str(cli.folder / "nvml.script")}
    before = cli.engine.objects()
    with fault.inject(cli):
        begun = time.monotonic()
        done = cli.run(*fault.run, code=None)
        took = time.monotonic() - begun
    ready = _READY.search(done.out + done.err) is not None
    found = Seen(code=done.code, said=done.err, cause=named(done.err), seconds=took, ready=ready)
    judge(fault, found, left(cli, before))
    if fault.again:
        cli.run("up", "tiny", "--no-wait")
        assert "orchestrator-tiny-transformers" in cli.ids()
