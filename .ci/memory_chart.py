"""The memory picture of docs/model-modes.md: a row for each model and engine, from the smallest claim to the largest.

On a logarithmic axis, since cards double. It has its own background, and takes dark or light from whoever shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

#: columns of the picture, in pixels: where the axis begins and ends, and the height of a row
_LEFT, _RIGHT, _WIDTH, _ROW, _TOP = 190, 850, 900, 26, 92
#: the axis, in GiB
_LEAST, _MOST = 1.5, 96.0

_STYLE = """\
  .back { fill: #ffffff }
  text { fill: #1f2328; font: 13px system-ui, sans-serif; stroke: #ffffff; stroke-width: 4; paint-order: stroke }
  .small { fill: #59636e; font-size: 12px }
  .title { font-size: 16px; font-weight: 600 }
  .card { stroke: #59636e; stroke-dasharray: 3 4 }
  .rule { stroke: #d1d9e0 }
  .vllm { fill: #0969da; stroke: #0969da }
  .transformers { fill: #bc4c00; stroke: #bc4c00 }
  .range { stroke-width: 5; stroke-opacity: 0.35 }
  .least { fill: #ffffff; stroke-width: 2 }
  .report { stroke: #1f2328; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 }
    text { fill: #e6edf3; stroke: #0d1117 }
    .small { fill: #9198a1 }
    .card { stroke: #9198a1 }
    .rule { stroke: #30363d }
    .vllm { fill: #58a6ff; stroke: #58a6ff }
    .transformers { fill: #ffa657; stroke: #ffa657 }
    .least { fill: #0d1117 }
    .report { stroke: #e6edf3 }
  }
"""


_FOOT = "Logarithmic. Computed, not measured; one model alone on a card."


@dataclass(frozen=True)
class Bar:
    """One model on one engine; sizes in GiB. ``reported``: the founding report's figure, None where it has none."""

    model: str
    engine: str
    least: float
    asked: float
    reported: float | None


def svg(bars: Sequence[Bar], cards: Sequence[int]) -> str:
    """The whole picture."""
    height = _TOP + _ROW * len(bars) + 52
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="t d">',
        '<title id="t">GPU memory of each model on each engine</title>',
        f'<desc id="d">{escape(_described(bars))}</desc>',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="back" width="{_WIDTH}" height="{height}" rx="6"/>',
        '<text class="title" x="20" y="30">GPU memory that each model claims, in GiB</text>',
        *_legend(),
        *(line for card in cards for line in _card(card, height)),
        *(line for number, bar in enumerate(bars) for line in _bar(bar, number, bars)),
        f'<text class="small" x="{_LEFT}" y="{height - 14}">{_FOOT}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend() -> Iterator[str]:
    for x, engine, name in ((20, "vllm", "vLLM"), (90, "transformers", "Transformers")):
        yield f'<circle class="{engine}" cx="{x + 6}" cy="52" r="5"/><text x="{x + 18}" y="56">{name}</text>'
    yield '<g class="vllm"><line class="range" x1="222" x2="262" y1="52" y2="52"/>'
    yield '<circle class="least" cx="222" cy="52" r="5"/><circle cx="262" cy="52" r="5"/></g>'
    yield '<text x="276" y="56">from the smallest that the entry allows to all that it asks for</text>'
    yield '<line class="report" x1="686" x2="686" y1="45" y2="59"/><text x="696" y="56">the January report</text>'


def _card(card: int, height: int) -> Iterator[str]:
    x = _x(card)
    yield f'<line class="card" x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{height - 34}"/>'
    yield f'<text class="small" x="{x}" y="{_TOP - 12}" text-anchor="middle">{card} GB</text>'


def _bar(bar: Bar, number: int, bars: Sequence[Bar]) -> Iterator[str]:
    y = _TOP + _ROW * number + _ROW // 2
    if number == 0 or bars[number - 1].model != bar.model:
        yield f'<line class="rule" x1="20" x2="{_RIGHT + 30}" y1="{y - _ROW // 2}" y2="{y - _ROW // 2}"/>'
        yield f'<text x="20" y="{y + 4}">{escape(bar.model)}</text>'
    least, asked = _x(bar.least), _x(bar.asked)
    yield f'<g class="{bar.engine}"><line class="range" x1="{least}" x2="{asked}" y1="{y}" y2="{y}"/>'
    yield f'<circle class="least" cx="{least}" cy="{y}" r="5"/><circle cx="{asked}" cy="{y}" r="5"/></g>'
    if bar.reported is not None:
        x = _x(bar.reported)
        yield f'<line class="report" x1="{x}" x2="{x}" y1="{y - 7}" y2="{y + 7}"/>'
    yield f'<text class="small" x="{max(asked, _x(bar.reported or 0)) + 12}" y="{y + 4}">{_words(bar)}</text>'


def _words(bar: Bar) -> str:
    return f"{bar.asked:.1f}" if bar.least == bar.asked else f"{bar.least:.1f} to {bar.asked:.1f}"


def _described(bars: Sequence[Bar]) -> str:
    return "; ".join(f"{bar.model} on {bar.engine}: {_words(bar)} GiB" for bar in bars)


def _x(size: float) -> float:
    """Where a size lies."""
    share = math.log(max(size, _LEAST) / _LEAST) / math.log(_MOST / _LEAST)
    return round(_LEFT + share * (_RIGHT - _LEFT), 1)
