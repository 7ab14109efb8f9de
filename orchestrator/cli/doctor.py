"""``orchestrator doctor``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orchestrator.app.doctor import doctor, fix
from orchestrator.checkup.values import Finding, exit_code
from orchestrator.cli.context import Context, as_json, print_json
from orchestrator.cli.progress import Progress
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verb
from orchestrator.plan.leftovers import Leftover
from orchestrator.report.table import table

_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@click.command(
    cls=Verb,
    examples={
        "What is wrong here, and what to do": "orchestrator doctor",
        "Mend what can be mended safely": "orchestrator doctor --fix",
    },
)
@as_json
@click.option("--fix", "mend", is_flag=True, help="Remove leftovers that don't run, and give volumes to their user.")
@click.pass_obj
def command(context: Context, as_json: bool, mend: bool) -> int:
    """Check Docker, GPUs, disk, ports, and what is ours here.

    Exit code 4 if the machine lacks something, 1 if something of ours is not well.
    """
    if mend:
        findings, done = fix(context.world, context.project, context.registries, Progress(context.verbose).event)
    else:
        findings, done = doctor(context.world, context.project, context.registries), ()
    if as_json:
        print_json(_json(findings, done, fixed=mend))
    else:
        rows = [(_MARKS[f.verdict], f.check, f.detail) for f in findings]
        click.echo(table(rows, look=look(), prose=True, toned=0), nl=False)
        for line in dict.fromkeys(f"{f.check}: {f.hint}" for f in findings if f.hint):
            click.echo(line)
    return exit_code(findings)


def _json(findings: Sequence[Finding], done: Sequence[Leftover], *, fixed: bool) -> dict[str, object]:
    rows = [
        {
            "check": f.check,
            "verdict": f.verdict,
            "detail": f.detail,
            "where": f.where,
            "hint": f.hint,
            "fixable": bool(f.fixes),
        }
        for f in findings
    ]
    did = [{"kind": d.kind, "name": d.name, "why": d.why} for d in done]
    return {"schema": 1, "findings": rows, **({"fixed": did} if fixed else {})}
