"""A quantised graph whose rounding can be switched off, place by place.

`convert` puts a pair of quantise and dequantise operators wherever a value is rounded: behind the weights of a layer,
behind its output, and where a concatenation brings an input to its own range. Each such place belongs to one layer. The
graph is run on values that are rounded (or not) and stay float in between, which gives what the pairs give.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators that PT2E writes
from torch import Tensor, fx

from edgeseg.models.layer_names import layer_names, operator

PER_TENSOR, PER_CHANNEL = "quantize_per_tensor", "quantize_per_channel"
DEQUANTISE = {"dequantize_per_tensor", "dequantize_per_channel"}
QUANTISE = {PER_TENSOR, PER_CHANNEL}
WEIGHTED = {"conv2d", "linear", "conv_transpose2d"}

Values = Mapping[fx.Node, Any]


@dataclass(frozen=True)
class Layer:
    """An operator with its weights and its activation, and the places where it rounds."""

    name: str
    weights: tuple[fx.Node, ...] = ()  # quantise operators
    inputs: tuple[fx.Node, ...] = ()  # behind other layers' ranges, or behind something in float
    outputs: tuple[fx.Node, ...] = ()
    result: fx.Node | None = None  # what it gives, before it is rounded
    moves: bool = False  # it keeps the range of its input, and rounds nothing anew

    @property
    def places(self) -> tuple[fx.Node, ...]:
        return (*self.weights, *self.inputs, *self.outputs)


class Switched(fx.Interpreter):
    """Runs a converted graph with the rounding of chosen places only."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.converted = graph
        self.layers = find_layers_of(graph)
        self.all_places = frozenset(place for layer in self.layers.values() for place in layer.places)
        self.on: Collection[fx.Node] = self.all_places
        self._weights: dict[fx.Node, Tensor] = {}
        self._keep: dict[fx.Node, Any] | None = None
        nodes = list(graph.graph.nodes)
        self.result = next(node for node in nodes if node.op == "output")
        self._order = {node: i for i, node in enumerate(nodes)}
        self._below: dict[fx.Node, frozenset[fx.Node]] = {}

    @property
    def last_layer(self) -> str:
        """The layer that gives the logits."""
        return layer_names(self.converted.graph)[_sources(self.result)[0]]

    @torch.no_grad()
    def logits(self, image: Tensor, on: Collection[fx.Node]) -> tuple[Tensor, dict[fx.Node, Any]]:
        """(n, 3, h, w) -> the logits (n, c, h', w') with `on` rounded, and every value on the way to them."""
        self.on, self._keep = on, {}
        out = self.run(image)
        kept, self._keep = self._keep, None
        return _first(out), kept

    @torch.no_grad()
    def change(self, before: Values, on: Collection[fx.Node], at: Collection[fx.Node]) -> tuple[Tensor, dict[fx.Node, Any]]:
        """The logits, and the values that are new, where only the rounding `at` some places differs from a run before."""
        below = set().union(*(self.below(place) for place in at)) if at else set()
        self.on, self._keep = on, {}
        out = self.run(initial_env={node: value for node, value in before.items() if node not in below})
        kept, self._keep = self._keep, None
        return _first(out), kept

    @torch.no_grad()
    def rounds_nothing(self, layer: Layer, values: Values) -> bool:
        """Whether the result of a layer, as it is in an earlier run, is exact in its range already, as zeros and ones are."""
        if layer.weights or layer.inputs:
            return False
        self.env = {}
        return all(torch.equal(self._round_to(place, values[layer.result]), values[layer.result]) for place in layer.outputs)  # type: ignore[index]

    def below(self, place: fx.Node) -> frozenset[fx.Node]:
        """`place` and all that depends on it."""
        if place not in self._below:
            found = {place}
            todo = [place]
            while todo:
                for user in todo.pop().users:
                    if user not in found:
                        found.add(user)
                        todo.append(user)
            self._below[place] = frozenset(found)
        return self._below[place]

    def run_node(self, n: fx.Node) -> Any:
        kind = operator(n) if n.op == "call_function" else ""
        if kind in DEQUANTISE:
            value = self.env[n.args[0]]  # type: ignore[index]  # always a node
        elif kind in QUANTISE:
            value = self.env[n.args[0]] if n not in self.on else self._rounded(n, kind)  # type: ignore[index]
        elif n.op == "call_module" and "guard" in str(n.target):
            value = None  # the exporter's check of the batch size, which is 1 there
        else:
            value = super().run_node(n)
        if self._keep is not None and n is not self.result:
            self._keep[n] = value
        return value

    def _rounded(self, n: fx.Node, kind: str) -> Tensor:
        value = self.env[n.args[0]]  # type: ignore[index]
        if kind == PER_TENSOR:
            return self._round_to(n, value)
        if n not in self._weights:  # weights never change
            scale, zero_point = (self.env[argument].float() for argument in n.args[1:3])  # type: ignore[index]
            axis, low, high = n.args[3:6]
            self._weights[n] = torch.fake_quantize_per_channel_affine(value, scale, zero_point.int(), axis, low, high)  # type: ignore[arg-type]
        return self._weights[n]

    def _round_to(self, place: fx.Node, value: Tensor) -> Tensor:
        numbers: Any = self.map_nodes_to_values(place.args[1:5], place)  # some quantisers keep them in tensors
        scale, zero_point, low, high = (float(number) for number in numbers)
        # What the pair of operators computes, in fewer passes than `torch.fake_quantize_per_tensor_affine` takes.
        return (value * (1 / scale)).round_().clamp_(low - zero_point, high - zero_point).mul_(scale)

    def places_in_float(self, names: Collection[str]) -> frozenset[fx.Node]:
        """The places that do not round when the results of the layers `names` stay in float.

        Then what only moves those values moves them in float, and who calculates with them does so in float, with float
        weights, and rounds what it gives; what a concatenation joins with them is not rounded either, as in
        `edgeseg.compress.quantize`. What the graph gives is always rounded: files give integers.
        """
        by_node = {node: self.layers[name] for node, name in layer_names(self.converted.graph).items()}
        wish = set(names)
        while True:
            free, floating = self._freed(wish, by_node)
            joined = _joined_with(floating, by_node) - wish
            if not joined:
                return frozenset(free)
            wish |= joined

    def _freed(self, names: Collection[str], by_node: Mapping[fx.Node, Layer]) -> tuple[set[fx.Node], set[fx.Node]]:
        """The places that do not round, and the operators whose results stay in float."""
        free: set[fx.Node] = set()
        floating: set[fx.Node] = set()
        result = set(self.result.all_input_nodes)
        for node, layer in by_node.items():
            fed = any(source in floating for source in _sources(node))
            if layer.name in names or (fed and (layer.moves or not layer.places)):
                floating.add(node)
                free.update(place for place in layer.places if not (place in layer.outputs and _feeds(place, result)))
            elif fed:
                free.update((*layer.weights, *layer.inputs))
        return free, floating


def _joined_with(floating: Collection[fx.Node], by_node: Mapping[fx.Node, Layer]) -> set[str]:
    """The layers whose rounded results a concatenation in float joins with others, through whatever only moves them."""
    found: set[str] = set()
    todo = [node for node in floating if operator(node) == "cat"]
    for node in todo:
        for source in _sources(node):
            layer = by_node.get(source)
            if layer is None or source in floating:
                continue
            if layer.moves:
                todo.append(source)
            else:
                found.add(layer.name)
    return found


def find_layers_of(graph: fx.GraphModule) -> dict[str, Layer]:
    """Name -> layer of a converted graph, in order."""
    names = layer_names(graph.graph)
    groups: dict[str, list[fx.Node]] = {}
    for node, name in names.items():
        groups.setdefault(name, []).append(node)
    layers: dict[str, Layer] = {}
    for name, nodes in groups.items():
        weights, inputs = [], []
        for node in nodes:
            for source in node.all_input_nodes:
                if source.op == "call_function" and operator(source) in DEQUANTISE:
                    place = source.all_input_nodes[0]
                    if operator(place) == PER_CHANNEL:
                        weights.append(place)
                    elif place.all_input_nodes[0] not in names and place.all_input_nodes[0].op != "placeholder":
                        inputs.append(place)  # behind another range (a requantisation) or a constant
        last = nodes[-1]
        outputs = [user for user in last.users if operator(user) == PER_TENSOR]
        layers[name] = Layer(name, tuple(weights), tuple(inputs), tuple(outputs), last, _moves(nodes, outputs, weights))
    return layers


def float_layers(graph: fx.GraphModule) -> list[str]:
    """The layers of a converted graph that calculate in float: their weights or results are not rounded, or what they read."""
    names = layer_names(graph.graph)
    layers = find_layers_of(graph)
    found: set[str] = set()
    unrounded: set[fx.Node] = set()
    for node, name in names.items():
        layer = layers[name]
        if operator(node) in WEIGHTED and not layer.weights:
            found.add(name)
        if any(source in unrounded and names[source] != name for source in node.all_input_nodes):
            found.add(name)
        if node is layer.result and not layer.outputs:
            found.add(name)
            unrounded.add(node)
    return [name for name in layers if name in found]


def _moves(nodes: list[fx.Node], outputs: list[fx.Node], weights: list[fx.Node]) -> bool:
    """Whether all tensors that go in have the range of what comes out."""
    if weights or not outputs:
        return False
    dequantised = [s for s in nodes[0].all_input_nodes if s.op == "call_function" and operator(s) in DEQUANTISE]
    return bool(dequantised) and {tuple(s.args[1:3]) for s in dequantised} == {tuple(outputs[0].args[1:3])}


def _sources(node: fx.Node) -> list[fx.Node]:
    """The operators that `node` reads, whatever is rounded in between."""
    found = []
    for source in node.all_input_nodes:
        while source.op == "call_function" and operator(source) in DEQUANTISE | QUANTISE:
            source = source.all_input_nodes[0]
        found.append(source)
    return found


def _feeds(place: fx.Node, results: set[fx.Node]) -> bool:
    return any(user in results for user in place.users)


def _first(out: Any) -> Tensor:
    value = out[0] if isinstance(out, tuple | list) else out
    assert isinstance(value, Tensor)
    return value
