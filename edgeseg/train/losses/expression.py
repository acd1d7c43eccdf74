"""Sums of weighted losses as text, as `edgeseg train --loss` takes them.

expression = term {"+" term}
term       = [number "*"] name ["(" option {"," option} ")"]
option     = flag | name "=" number
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from edgeseg.errors import UsageError
from edgeseg.train.losses.batch import Batch
from edgeseg.train.losses.borders import Boundary, Hausdorff
from edgeseg.train.losses.lovasz import Lovasz
from edgeseg.train.losses.pixels import CrossEntropy, Focal
from edgeseg.train.losses.regions import Dice, FocalTversky, Jaccard, Tversky

Loss = Callable[[Batch], Tensor]  # a scalar

LOSSES: dict[str, type[Any]] = {
    "ce": CrossEntropy,
    "focal": Focal,
    "dice": Dice,
    "jaccard": Jaccard,
    "tversky": Tversky,
    "focal_tversky": FocalTversky,
    "lovasz": Lovasz,
    "boundary": Boundary,
    "hausdorff": Hausdorff,
}
PERSON_LOSS = "ce(border) + 0.5*dice"
CLASS_LOSS = "ce + 0.5*jaccard"

_TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\S))", re.ASCII)


@dataclass(frozen=True)
class Expression:
    """A sum of weighted losses, and the text that it was made of."""

    text: str
    terms: tuple[tuple[float, Loss], ...]

    def __call__(self, logits: Tensor, truth: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Scalar; see `Batch` for the arguments."""
        batch = Batch(logits, truth, class_weights)
        total = logits.new_zeros(())
        for weight, loss in self.terms:
            total = total + weight * loss(batch)
        return total


def parse(text: str) -> Expression:
    """UsageError for what is no expression, or names a loss or an option that there is not."""
    tokens = _Tokens(text)
    terms = [_term(tokens)]
    while tokens.take("+"):
        terms.append(_term(tokens))
    if tokens.next is not None:
        raise tokens.unexpected("'+' or the end")
    return Expression(" ".join(text.split()), tuple(terms))


class _Tokens:
    def __init__(self, text: str) -> None:
        self.text = text
        found = [(str(m.lastgroup), str(m[m.lastgroup])) for m in _TOKEN.finditer(text) if m.lastgroup]
        self._tokens = iter(found)
        self.next = next(self._tokens, None)

    def take(self, what: str) -> str | None:
        """The next token where it is of the kind `what` ("number", "name"), or is the sign `what`; else None."""
        if self.next is None or what not in (self.next[0], *([self.next[1]] if self.next[0] == "sign" else [])):
            return None
        taken = self.next[1]
        self.next = next(self._tokens, None)
        return taken

    def need(self, what: str) -> str:
        taken = self.take(what)
        if taken is None:
            raise self.unexpected(f"a {what}" if what.isalpha() else f"{what!r}")
        return taken

    def unexpected(self, wanted: str) -> UsageError:
        got = "its end" if self.next is None else repr(self.next[1])
        example = "write it as in 'ce + 0.5*dice' or 'focal(gamma=2) + lovasz'"
        return UsageError(f"loss {self.text!r} needs {wanted} where {got} stands; {example}")


def _term(tokens: _Tokens) -> tuple[float, Loss]:
    weight = 1.0
    number = tokens.take("number")
    if number is not None:
        weight = float(number)
        tokens.need("*")
    if not (0 < weight < math.inf):
        raise UsageError(f"a loss needs a weight above 0, got {number}; leave the term out instead")
    name = tokens.need("name")
    if name not in LOSSES:
        raise UsageError(f"there is no loss {name!r}; there are: {', '.join(LOSSES)}")
    options: dict[str, Any] = {}
    if tokens.take("("):
        while True:
            _option(tokens, name, options)
            if not tokens.take(","):
                break
        tokens.need(")")
    loss: Loss = LOSSES[name](**options)
    return weight, loss


def _option(tokens: _Tokens, loss: str, options: dict[str, Any]) -> None:
    """Read one into `options`."""
    name = tokens.need("name")
    defaults = {field.name: field.default for field in dataclasses.fields(LOSSES[loss])}
    if name not in defaults:
        known = ", ".join(k if isinstance(v, bool) else f"{k}={v:.3g}" for k, v in defaults.items())
        raise UsageError(f"loss {loss!r} has no option {name!r}; it has {known or 'none'}")
    if name in options:
        raise UsageError(f"option {name!r} of loss {loss!r} was given twice")
    if isinstance(defaults[name], bool):
        options[name] = True
        return
    tokens.need("=")
    number = tokens.need("number")
    if isinstance(defaults[name], int):
        if not number.isdecimal():
            raise UsageError(f"option {name!r} of loss {loss!r} is a whole number, got {number}")
        options[name] = int(number)
    else:
        options[name] = float(number)
        if math.isinf(options[name]):
            raise UsageError(f"option {name!r} of loss {loss!r} is too large: {number}")
