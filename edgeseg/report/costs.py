"""What one inference costs before it meets a device, whoever counts it: `cost.py` (a torch module), `cost_tflite.py`,
`cost_onnx.py` (files). Needs neither torch nor a runtime.

One multiply-add is one MAC; FLOPs = 2 x MACs. Bytes moved are what an operator reads (activations and weights) plus what it
writes, each once: what a machine with caches too small to keep anything between operators must move at least. Arithmetic
intensity is MACs per byte moved (Williams, Waterman & Patterson 2009, "Roofline", with MACs in place of FLOPs).

The activation peak is the most bytes that are live at once while the operators run in their order: a tensor lives from the
operator that writes it to the last that reads it, and an operator's inputs and outputs live together. Runtimes that place
tensors well come near it; those that reorder or work in place can do better. Weights are not in it.

Parameters are the constants that operators multiply or add by channel; what several operators share counts for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LayerCost:
    """A layer of a network, or an operator of a file. `name` is its path in the network where that is known."""

    name: str
    kind: str  # class of the module, or operator
    params: int
    macs: int
    weight_bytes: int = 0
    read_bytes: int = 0  # of activations
    written_bytes: int = 0
    operands: str = ""  # "int8" or "float32": what it multiplies
    aliases: tuple[str, ...] = ()  # other names by which a runtime may know it
    index: int | None = None  # of the file's operator: some cost nothing and are no layers

    @property
    def moved_bytes(self) -> int:
        return self.weight_bytes + self.read_bytes + self.written_bytes

    @property
    def intensity(self) -> float:
        """MACs per byte moved; 0 where nothing is."""
        return self.macs / self.moved_bytes if self.moved_bytes else 0.0


@dataclass(frozen=True)
class Cost:
    """Of one inference of one image."""

    size: tuple[int, int]  # (height, width) of the input
    params: int
    macs: int
    layers: tuple[LayerCost, ...]  # of a module in the order of its modules, of a file in that of its operators
    activations: int  # elements that the hungriest operator reads and writes: no runtime can need fewer at once
    uncounted: dict[str, int] = field(default_factory=dict)  # operator -> calls
    peak_bytes: int = 0  # of activations that are live at once
    peak_layer: str = ""  # where that is

    @property
    def flops(self) -> int:
        """2 x MACs."""
        return 2 * self.macs

    @property
    def moved_bytes(self) -> int:
        return sum(layer.moved_bytes for layer in self.layers)

    @property
    def intensity(self) -> float:
        """MACs per byte moved, over all layers."""
        return self.macs / self.moved_bytes if self.moved_bytes else 0.0


@dataclass(frozen=True)
class Step:
    """One operator as it is executed: which activations it reads and writes, by any hashable key."""

    name: str
    reads: tuple[Any, ...]
    writes: tuple[Any, ...]


def peak(steps: Sequence[Step], sizes: Mapping[Any, int], outputs: Iterable[Any] = ()) -> tuple[int, str]:
    """(the most bytes live at once, name of the step at which they are).

    sizes    bytes of every activation that steps name
    outputs  activations that live to the end
    """
    last = {key: i for i, step in enumerate(steps) for key in (*step.reads, *step.writes)}
    last |= dict.fromkeys(outputs, len(steps))
    made = {key for step in steps for key in step.writes}
    live = {key for key in last if key not in made}  # the network's input is there from the beginning
    most, where = 0, ""
    for i, step in enumerate(steps):
        live.update(step.writes)
        now = sum(sizes[key] for key in live)
        if now > most:
            most, where = now, step.name
        live = {key for key in live if last[key] > i}
    return most, where


def to_json(cost: Cost) -> dict[str, Any]:
    """Keys of `edgeseg models MODEL --json`."""
    return {
        "size": list(cost.size),
        "size_hw": list(cost.size),
        "params": cost.params,
        "macs": cost.macs,
        "flops": cost.flops,
        "moved_bytes": cost.moved_bytes,
        "intensity": round(cost.intensity, 3),
        "peak_bytes": cost.peak_bytes,
        "peak_layer": cost.peak_layer,
        "activations": cost.activations,
        "uncounted": cost.uncounted,
        "layers": [layer_to_json(layer) for layer in cost.layers],
    }


def layer_to_json(layer: LayerCost) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "params": layer.params,
        "macs": layer.macs,
        "moved_bytes": layer.moved_bytes,
        "intensity": round(layer.intensity, 3),
        "operands": layer.operands,
    }


def to_table(cost: Cost) -> str:
    """For a terminal: a line a layer, the sums, and what was not counted."""
    height, width = cost.size
    wide = max((len(layer.name) for layer in cost.layers), default=5)
    lines = [f"{'layer':<{wide}}  {'kind':<18}  {'params':>9}  {'MMAC':>9}  {'kB moved':>9}  {'MAC/byte':>8}"]
    for layer in cost.layers:
        lines.append(
            f"{layer.name:<{wide}}  {layer.kind:<18}  {layer.params:>9,}  {layer.macs / 1e6:>9.3f}  "
            f"{layer.moved_bytes / 1e3:>9.1f}  {layer.intensity:>8.2f}"
        )
    uncounted = ", ".join(f"{operator} x {calls}" for operator, calls in cost.uncounted.items())
    return "\n".join(
        [
            *lines,
            "",
            f"{cost.params:,} parameters, {cost.macs / 1e6:,.1f} MMAC at {height}x{width} (FLOPs = 2 x MACs).",
            f"{cost.moved_bytes / 1e6:,.1f} MB moved, {cost.intensity:.1f} MACs a byte.",
            f"At most {cost.peak_bytes / 1e6:,.2f} MB of activations at once, at {cost.peak_layer or 'no layer'}.",
            f"Not counted: {uncounted or 'nothing'}.",
        ]
    )
