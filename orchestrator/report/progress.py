"""Events as lines for people and as JSON lines for programs."""

from __future__ import annotations

from orchestrator.ports import Event

_PAST = {
    "build": "built",
    "pull": "pulled",
    "volume": "prepared",
    "weights": "weights are there",
    "create": "created",
    "replace": "replaced",
    "restart": "restarted",
    "start": "started",
    "stop": "stopped",
    "remove": "removed",
    "restore": "brought back",
    "sleep": "asleep",
    "wake": "awake",
}
_BAR = 20
#: columns below which a line has no room for a bar
_NARROW = 60
#: what is not done is never shown as 100%: totals are about right
_MOST = 0.99


def sentence(event: Event) -> str:
    """An event on a line of its own."""
    if event.kind == "said":
        return f"{event.subject} | {event.text}"
    match event.kind:
        case "done":
            words = f"{_PAST.get(event.text, event.text)} ({event.seconds:.1f} s)"
        case "phase":
            known = _known(event)
            words = f"{event.phase}{f' ({known})' if known else ''} ({event.seconds:.0f} s)"
        case "ready":
            words = f"ready, {event.text} ({event.seconds:.1f} s)"
        case "gone":
            words = f"gone, {event.text}" + (f" ({event.seconds:.1f} s)" if event.seconds else "")
        case "late" | "failed" | "wait":
            words = f"{event.kind}, {event.text}"
        case _:
            words = _known(event)
    return f"{event.subject}: {words}"


def live(event: Event, columns: int) -> str:
    """The line that is shown, and shown anew, while something goes on: it fits into so many columns."""
    share = _share(event)
    bar = f"[{'#' * int(_BAR * share):-<{_BAR}}] {share:4.0%} " if share is not None and columns >= _NARROW else ""
    line = f"{event.subject}: {event.phase} {bar}{_known(event)}"
    printable = "".join(c if c.isascii() and c.isprintable() else " " for c in line).rstrip()
    return printable if len(printable) < columns else printable[: max(0, columns - 1)]


def event_json(event: Event) -> dict[str, object]:
    """One line of a stable shape, version 1: null for what is not known. Sizes are bytes."""
    return {
        "schema": 1,
        "event": event.kind,
        "subject": event.subject,
        "phase": event.phase or None,
        "text": event.text,
        "seconds": round(event.seconds, 3),
        "share": event.share,
        "done_bytes": event.done,
        "total_bytes": event.total,
        "rate_bytes_per_s": None if event.rate is None else round(event.rate),
        "left_s": None if event.left is None else round(event.left),
        "cause": event.cause or None,
    }


def _share(event: Event) -> float | None:
    if event.share is None and event.done is not None and event.total:
        return min(event.done / event.total, _MOST)
    return None if event.share is None else min(event.share, 1.0)


def _known(event: Event) -> str:
    """Bytes, rate and remaining time as far as they are known, and what was said."""
    return ", ".join(filter(None, (_bytes(event), _pace(event), event.text)))


def _bytes(event: Event) -> str:
    if event.done is None:
        return ""
    return f"{size(event.done)} of about {size(event.total)}" if event.total else size(event.done)


def _pace(event: Event) -> str:
    if not event.rate:
        return ""
    left = event.left
    return f"{size(event.rate)}/s" + (f", {duration(left)} left" if left else "")


def size(count: float) -> str:
    """7 B, 1.5 kB, 2.0 GB, as disks and networks count."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """40 s, 3 min, 2 h 5 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
