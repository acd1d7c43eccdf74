"""Charts as inline SVG: nothing but shapes and a few words, coloured by the page's style. All text in them is escaped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 72, 30, 36, 54
STRIP = 24  # height of a distribution
MOST_TICKS = 7
TOUCHING = 13.0  # points nearer than this share a label
LETTER, LINE = 11.0, 22.0  # of a label, at the most


def density(quantiles_ms: Sequence[float], low: float, high: float) -> str:
    """How often each latency occurs, as a filled curve over low..high; from quantiles at equal steps of probability.

    The median is a line. What lies beyond `high` is not drawn.
    """
    steps = [b - a for a, b in itertools.pairwise(quantiles_ms)]
    span = (high - low) or 1.0
    least = span / 400  # equal quantiles would be infinitely dense
    heights = [1 / max(step, least) for step in steps]
    most = max(heights, default=1.0)
    floor = float(STRIP)
    points = [(0.0, floor)]
    for start, step, height in zip(quantiles_ms, steps, heights, strict=False):
        y = STRIP * (1 - 0.95 * height / most)
        for x in (start, start + max(step, least)):
            points.append((100 * min(max((x - low) / span, 0), 1), y))
    points.append((points[-1][0], floor))
    points[0] = (points[1][0], floor)
    path = "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + "Z"
    middle = 100 * min(max((quantiles_ms[len(quantiles_ms) // 2] - low) / span, 0), 1)
    return (
        f'<svg class="strip" viewBox="0 0 100 {STRIP}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}"/><line x1="{middle:.2f}" x2="{middle:.2f}" y1="0" y2="{STRIP}"/></svg>'
    )


class Axis:
    """A logarithmic or linear axis from a value to a place. A logarithmic one ends at 1, 2 or 5 times a power of ten."""

    def __init__(self, values: Sequence[float], first: float, last: float, *, log: bool) -> None:
        low, high = min(values), max(values)
        if log:
            low, high = (math.log10(value) for value in _around(low, high))
        else:
            margin = (high - low) * 0.15 or abs(high) * 0.05 or 1.0
            low, high = low - margin, high + margin
        self.low, self.high, self.log = low, high, log
        self.first, self.last = first, last

    def __call__(self, value: float) -> float:
        at = math.log10(value) if self.log else value
        return self.first + (self.last - self.first) * (at - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        if self.log:
            steps = _steps(10.0**self.low, 10.0**self.high)
            return steps if len(steps) <= MOST_TICKS else [value for value in steps if f"{value:e}".startswith("1.")]
        step = self._step()
        return [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]

    def named(self, tick: float) -> str:
        """Linear ticks with as many decimals as their step has."""
        return f"{tick:g}" if self.log else f"{tick:.{max(0, -math.floor(math.log10(self._step()) + 1e-9))}f}"

    def _step(self) -> float:
        step: float = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
        while (self.high - self.low) / step > 5:
            step *= 2
        return step


def _steps(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`, both included."""
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    slack = 1 + 1e-9
    return [float(f"{m}e{n}") for n in exponents for m in (1, 2, 5) if low / slack <= float(f"{m}e{n}") <= high * slack]


def _around(low: float, high: float) -> tuple[float, float]:
    """The nearest such steps that hold `low` and `high` between them."""
    below, above = _steps(low / 10, low)[-1], _steps(high, high * 10)[0]
    return (below, above) if below < above else (_steps(low / 10, low)[-2], above)


def roofline(layers: Sequence[Mapping[str, Any]], peaks: Mapping[str, Any]) -> str:
    """Every layer with a time as a point: MACs a byte across, GMAC/s up; the machine's limits as lines."""
    timed = [layer for layer in layers if layer.get("ms") and layer["macs"] and layer["intensity"]]
    if not timed:
        return ""
    tops = {"float32": peaks["float32_macs_per_s"], "int8": peaks["int8_macs_per_s"] or peaks["float32_macs_per_s"]}
    kinds = sorted({layer["operands"] for layer in timed})
    rates = [layer["macs"] / layer["ms"] / 1e6 for layer in timed]  # GMAC/s
    roofs = [tops[kind] / 1e9 for kind in kinds]
    x = Axis([layer["intensity"] for layer in timed] + [max(roofs) * 1e9 / peaks["bytes_per_s"]], LEFT, WIDTH - RIGHT, log=True)
    y = Axis(rates + roofs, HEIGHT - BOTTOM, TOP, log=True)
    body = [_frame(x, y, "MACs per byte moved", "GMAC/s")]
    for kind, roof in zip(kinds, roofs, strict=True):
        left, right = 10.0**x.low, 10.0**x.high
        ridge = min(max(roof * 1e9 / peaks["bytes_per_s"], left), right)
        floor = 10.0**y.low
        start = max(left, floor * 1e9 / peaks["bytes_per_s"])
        line = [(start, start * peaks["bytes_per_s"] / 1e9), (ridge, roof), (right, roof)]
        body.append(f'<polyline class="roof {kind}" points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)}"/>')
        body.append(f'<text x="{x(right) - 4:.1f}" y="{y(roof) - 5:.1f}" text-anchor="end">{kind}: {roof:.0f} GMAC/s</text>')
    longest = max(layer["ms"] for layer in timed)
    for layer, rate in zip(timed, rates, strict=True):
        radius = 2.5 + 6 * math.sqrt(layer["ms"] / longest)
        title = escape(f"{layer['name']}: {layer['ms']:.3f} ms, {rate:.1f} GMAC/s, {layer['intensity']:.1f} MACs a byte")
        body.append(
            f'<circle class="{layer["operands"]}" cx="{x(layer["intensity"]):.1f}" cy="{y(rate):.1f}" r="{radius:.1f}">'
            f"<title>{title}</title></circle>"
        )
    return _svg("Roofline: what each layer reaches of the machine's limits", body)


def scatter(points: Sequence[tuple[float, float]], across: str, up: str) -> str:
    """Numbered points, the best of which (left and up) are joined: nothing is better in both. `across` is logarithmic.

    Points that would hide one another share a label, as in "1, 4".
    """
    if not points:
        return ""
    x = Axis([p[0] for p in points], LEFT, WIDTH - RIGHT, log=True)
    y = Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP, log=False)
    best = front(points)
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in sorted(points[i] for i in best))
    body = [_frame(x, y, across, up), f'<polyline class="front" points="{line}"/>']
    places = [(x(a), y(b)) for a, b in points]
    for i, (a, b) in enumerate(places):
        body.append(f'<circle class="{"point best" if i in best else "point"}" cx="{a:.1f}" cy="{b:.1f}" r="6"/>')
    taken: list[tuple[float, float, float, float]] = [(a - 6, b - 6, a + 6, b + 6) for a, b in places]
    for group in groups(places):
        text = ", ".join(str(i + 1) for i in group)
        left, top, right, bottom = _label(text, [places[i] for i in group], taken)
        taken.append((left, top, right, bottom))
        at = f'x="{(left + right) / 2:.1f}" y="{bottom - 6:.1f}"'
        body.append(f'<text class="number" {at} text-anchor="middle">{text}</text>')
    return _svg(f"{up} against {across}", body)


def groups(places: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Indices of places that touch, directly or by others between them; in order."""
    found: list[list[int]] = []
    for i, place in enumerate(places):
        near = [group for group in found if any(math.dist(place, places[j]) < TOUCHING for j in group)]
        found = [group for group in found if group not in near] + [sorted([i, *itertools.chain(*near)])]
    return sorted(found)


def _label(
    text: str, places: Sequence[tuple[float, float]], taken: Sequence[tuple[float, float, float, float]]
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a label beside points, where it covers least of `taken`, other such boxes.

    To their right where that is as good as to their left, above or below.
    """
    wide = LETTER * len(text)
    low, high = min(a for a, _ in places), max(a for a, _ in places)
    top, bottom = min(b for _, b in places), max(b for _, b in places)
    middle, centre = (top + bottom) / 2, (low + high) / 2
    tries = [
        (high + 8, middle - LINE / 2),
        (low - 8 - wide, middle - LINE / 2),
        (centre - wide / 2, top - 8 - LINE),
        (centre - wide / 2, bottom + 8),
    ]

    def covered(start: tuple[float, float]) -> float:
        a, b = start
        outside = max(0.0, LEFT - a, a + wide - WIDTH + RIGHT) + max(0.0, TOP - b, b + LINE - HEIGHT + BOTTOM)
        across = (max(0.0, min(a + wide, box[2]) - max(a, box[0])) for box in taken)
        down = (max(0.0, min(b + LINE, box[3]) - max(b, box[1])) for box in taken)
        return 100 * outside + sum(w * h for w, h in zip(across, down, strict=True))

    a, b = min(tries, key=covered)
    return a, b, a + wide, b + LINE


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Of (cost, worth) pairs those that no other beats: none is at most as costly and worth at least as much, and not equal."""
    return {
        i
        for i, (cost, worth) in enumerate(points)
        if not any(c <= cost and w >= worth and (c, w) != (cost, worth) for c, w in points)
    }


def _frame(x: Axis, y: Axis, across: str, up: str) -> str:
    parts = [f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>']
    for tick in x.ticks():
        parts.append(f'<line class="tick" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{x.named(tick)}</text>')
    for tick in y.ticks():
        parts.append(f'<line class="tick" y1="{y(tick):.1f}" y2="{y(tick):.1f}" x1="{LEFT}" x2="{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{y.named(tick)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 12}">{escape(up)}</text>')
    return "".join(parts)


def _svg(title: str, body: Sequence[str]) -> str:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'
    return head + "".join(body) + "</svg>"
