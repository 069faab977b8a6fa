"""Both trainings over their steps as charts of the HTML page: points of lines and bands, no words
of a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.report.training_curves import TrainingStep

__all__ = ["Chart", "Curve", "training_charts"]

WIDTH, HEIGHT = 460, 210
"""Size of a chart in units of its view box."""
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 12, 30
"""Margins for the labels of the axes."""
TICKS = 4
"""About so many labels on an axis."""
LEAST = 1e-12
"""What is drawn of a departure of zero on a scale of powers of ten, as no smaller one is."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
        name: in the legend.
        kind: "first", "second" or "apart": its colour.
        points: (x, y, what a pointer shows) of each step that has a number.
    """

    name: str
    kind: str
    points: tuple[tuple[float, float, str], ...]

    @property
    def path(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in self.points)


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: what it shows.
        curves: its lines.
        band: the area in which two right runs part, as SVG writes it; "" where it was not measured.
        across, down: (position, label) of the axes' ticks: steps, numbers.
        width, height, left, top, right, bottom: of the view box and of the area inside.
    """

    title: str
    curves: tuple[Curve, ...]
    band: str
    across: tuple[tuple[float, str], ...]
    down: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def training_charts(
    steps: Sequence[TrainingStep], frameworks: tuple[str, str]
) -> tuple[Chart, ...]:
    """Loss, gradient norm, and how far losses and weights are apart; none where nothing was
    trained.

    Args:
        steps: of both trainings.
        frameworks: the names of the lines.
    """
    if not steps:
        return ()
    numbers = [step.step for step in steps]
    losses = [step.loss or (None, None) for step in steps]
    norms = [step.gradient_norm for step in steps]
    first, second = frameworks
    charts = [
        _chart(
            "loss",
            numbers,
            {(first, "first"): [a for a, _ in losses], (second, "second"): [b for _, b in losses]},
        ),
        _chart(
            "gradient norm",
            numbers,
            {(first, "first"): [a for a, _ in norms], (second, "second"): [b for _, b in norms]},
        ),
        _chart(
            "losses apart",
            numbers,
            {("apart", "apart"): [_apart(step.loss) for step in steps]},
            [step.loss_band for step in steps],
        ),
        _chart(
            "weights apart",
            numbers,
            {("apart", "apart"): [step.apart for step in steps]},
            [step.weights_band for step in steps],
        ),
    ]
    return tuple(chart for chart in charts if chart is not None)


def _apart(losses: tuple[float, float] | None) -> float | None:
    return None if losses is None else abs(losses[0] - losses[1])


def _chart(
    title: str,
    steps: Sequence[int],
    lines: Mapping[tuple[str, str], Values],
    band: Values | None = None,
) -> Chart | None:
    """A chart of lines over steps; by powers of ten where a band belongs to it. None without
    numbers."""
    shown = {key: [_finite(value) for value in values] for key, values in lines.items()}
    limits = [_finite(value) for value in band or ()]
    known = [value for values in (*shown.values(), limits) for value in values if value is not None]
    if not known:
        return None
    axis = _powers(known) if band is not None else _even(known)
    across = _Axis(steps[0], max(steps[-1], steps[0] + 1), LEFT, WIDTH - RIGHT)
    curves = tuple(
        Curve(name, kind, tuple(_points(steps, values, across, axis)))
        for (name, kind), values in shown.items()
    )
    return Chart(
        title,
        curves,
        _area(steps, limits, across, axis),
        tuple((across(step), str(step)) for step in _some(steps)),
        tuple((axis(value), f"{value:.4g}") for value in axis.ticks),
    )


@dataclass(frozen=True)
class _Axis:
    """Numbers to positions: from `low` at `start` to `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...] = ()
    powers: bool = False

    def __call__(self, value: float) -> float:
        if self.powers:
            value = math.log10(max(value, LEAST))
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _even(values: Sequence[float]) -> _Axis:
    low, high = min(values), max(values)
    if high - low <= 1e-6 * abs(high):
        low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
    ticks = tuple(low + (high - low) * part / TICKS for part in range(TICKS + 1))
    return _Axis(low, high, HEIGHT - BOTTOM, TOP, ticks)


def _powers(values: Sequence[float]) -> _Axis:
    logs = [math.log10(max(value, LEAST)) for value in values]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    high = max(high, low + 1)
    apart = max(1, round((high - low) / TICKS))
    ticks = tuple(10.0**power for power in range(low, high + 1, apart))
    return _Axis(low, high, HEIGHT - BOTTOM, TOP, ticks, powers=True)


def _points(
    steps: Sequence[int], values: Values, across: _Axis, axis: _Axis
) -> Iterator[tuple[float, float, str]]:
    for step, value in zip(steps, values, strict=True):
        if value is not None:
            yield across(step), axis(value), f"step {step}: {value:.7g}"


def _area(steps: Sequence[int], limits: Values, across: _Axis, axis: _Axis) -> str:
    """From the bottom up to the band."""
    edge = [
        (across(step), axis(limit))
        for step, limit in zip(steps, limits, strict=False)
        if limit is not None
    ]
    if not edge:
        return ""
    floor = HEIGHT - BOTTOM
    corners = [(edge[0][0], floor), *edge, (edge[-1][0], floor)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _some(steps: Sequence[int]) -> Sequence[int]:
    """Steps to label."""
    return steps[:: max(1, math.ceil(len(steps) / 12))]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
