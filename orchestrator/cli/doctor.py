"""``orchestrator doctor``."""

from __future__ import annotations

import click

from orchestrator.app.doctor import doctor
from orchestrator.cli.context import Context, as_json, print_json
from orchestrator.report.table import table

_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
_MISSING = 4


@click.command()
@as_json
@click.pass_obj
def command(context: Context, as_json: bool) -> int:
    """Check Docker, Compose, GPUs, disk, ports and our containers; exit code 4 if something is missing."""
    findings = doctor(context.world)
    if as_json:
        rows = [{"check": f.check, "verdict": f.verdict, "detail": f.detail, "hint": f.hint} for f in findings]
        print_json({"schema": 1, "findings": rows})
    else:
        click.echo(table([(_MARKS[f.verdict], f.check, f.detail) for f in findings]), nl=False)
        for finding in findings:
            if finding.hint:
                click.echo(f"{finding.check}: {finding.hint}")
    return _MISSING if any(f.verdict == "problem" for f in findings) else 0
