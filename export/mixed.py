"""Mixed precision: the fewest layers in float with which an int8 export keeps a stated accuracy.

16-bit activations were considered for these layers and are not used: ONNX Runtime has no 16-bit integer convolution on a
processor (it computes such a pair of quantise operators in float, microsoft/onnxruntime#17015) and reads the type only
from opset 21 on, and both formats are to carry the same ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import fx

from edgeseg.calib.sensitivity import Images, LayerSensitivity, Simulation, measure, worst_first
from edgeseg.calib.switches import float_layers
from edgeseg.export.gate import Goal
from edgeseg.models.layer_names import find_layers, layer_names

BREADTH = 4  # candidates that are tried at each step, the worst by themselves first
MOST = 24  # layers; a network that needs more is better trained than patched
ROUNDS = 4


@dataclass
class Plan:
    """What an int8 export quantises, and what it leaves in float."""

    graph: fx.GraphModule  # with its ranges; both formats are lowered from it
    pictures: Images  # that layers are measured on
    kept: list[str] = field(default_factory=list)  # layers whose results stay in float
    _measured: list[LayerSensitivity] | None = None

    @property
    def float_layers(self) -> list[str]:
        """Those, and the layers that calculate with their results."""
        return float_layers(self.graph)

    def measured(self) -> list[LayerSensitivity]:
        """What rounding each layer costs; measured when first asked for, which takes half a minute."""
        if self._measured is None:
            self._measured = measure(self.graph, self.pictures)
        return [layer for layer in self._measured if layer.layer not in self.kept]


def plan_precision(
    quantise: Callable[[Sequence[str]], fx.GraphModule],
    pictures: Images,
    proof: Images,
    *,
    keep_float: Sequence[str] = (),
    goal: Goal | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Plan:
    """Quantise a network; where that misses `goal`, with a margin, again with some layers in float.

    quantise    layers to keep in float -> the converted graph
    pictures    that layers are measured and chosen on
    proof       other pictures, on which the goal must be reached too
    keep_float  names or globs of layers that stay in float in any case; UsageError where there is no such layer
    """
    graph = quantise(keep_float)
    plan = Plan(graph, pictures, find_layers(keep_float, layer_names(graph.graph).values()))
    if goal is None:
        return plan
    goal = goal.with_margin()
    proving = Simulation(graph, proof)
    if goal.met(proving.score()):
        return plan
    say("the goal is missed with all layers in int8: measuring what each of them costs")
    chosen = search_proven(Simulation(graph, pictures), proving, plan.measured(), goal, say)
    if not chosen:
        return plan
    kept = [*plan.kept, *chosen]
    return Plan(quantise(kept), pictures, kept, plan.measured())


def search(
    simulation: Simulation,
    layers: Sequence[LayerSensitivity],
    goal: Goal,
    say: Callable[[str], None] = lambda message: None,
) -> list[str]:
    """Layers to keep in float so that `goal` is met on the simulation's pictures; empty where it is met without any.

    Greedy: of the BREADTH layers that do most harm alone, the one that helps most is kept, until the goal is met; then
    every one of them that is not needed after all is given back. Where MOST layers do not suffice, what helped most.
    """
    last = simulation.switched.last_layer
    candidates = [layer.layer for layer in worst_first(layers) if layer.layer != last]
    kept: list[str] = []
    score = simulation.score()
    while not goal.met(score) and candidates and len(kept) < MOST:
        tried = {name: simulation.score([*kept, name]) for name in candidates[:BREADTH]}
        best = min(tried, key=lambda name: (goal.shortfall(tried[name]), -tried[name].sqnr_db))
        kept.append(best)
        candidates.remove(best)
        score = tried[best]
        say(f"{best} in float: {score.agreement:.2%} of pixels agree, mIoU {100 * score.miou_delta:+.2f} points")
    if goal.met(score):
        for name in kept[:-1]:
            fewer = [other for other in kept if other != name]
            if goal.met(simulation.score(fewer)):
                kept = fewer
    return kept


def search_proven(
    simulation: Simulation,
    proof: Simulation,
    layers: Sequence[LayerSensitivity],
    goal: Goal,
    say: Callable[[str], None] = lambda message: None,
) -> list[str]:
    """As `search`, and again with a stricter goal where the pictures of the proof miss it, which took no part in the choice."""
    wanted = goal
    kept: list[str] = []
    for _ in range(ROUNDS):
        kept = search(simulation, layers, wanted, say)
        missed = goal.shortfall(proof.score(kept))
        if missed <= 0:
            break
        reached = max(0.0, -wanted.shortfall(simulation.score(kept)))
        wanted = wanted.tightened(reached + missed / 2)  # by little: every step costs layers
    return kept
