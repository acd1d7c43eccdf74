from __future__ import annotations

import contextlib
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.train.losses import CLASS_LOSS, LOSSES, PERSON_LOSS, parse
from edgeseg.train.losses.borders import Boundary
from edgeseg.train.losses.lovasz import Lovasz
from edgeseg.train.losses.pixels import CrossEntropy, Focal
from edgeseg.train.losses.regions import Dice

READ = [
    ("ce", ((1.0, CrossEntropy()),)),
    ("ce + 0.5*dice + 0.1*boundary", ((1.0, CrossEntropy()), (0.5, Dice()), (0.1, Boundary()))),
    ("focal(gamma=2)+lovasz", ((1.0, Focal(gamma=2)), (1.0, Lovasz()))),
    (" 1e-2 * ce( border , radius=2 ) ", ((0.01, CrossEntropy(border=True, radius=2)),)),
]


@pytest.mark.parametrize(("text", "terms"), READ)
def test_what_is_read(text, terms) -> None:
    assert parse(text).terms == terms


REFUSED = [
    ("", "needs a name where its end"),
    ("ce +", "needs a name where its end"),
    ("ce dice", r"'\+' or the end where 'dice'"),
    ("0.5 dice", r"'\*' where 'dice'"),
    ("-1*ce", "needs a name where '-'"),
    ("0*ce", "weight above 0"),
    ("1e999*ce", "weight above 0"),
    ("focus", "no loss 'focus'; there are: ce, focal, dice, jaccard"),
    ("__import__('os')", "no loss '__import__'"),
    ("focal(beta=2)", "no option 'beta'; it has gamma=2, alpha=0"),
    ("dice(x=1)", "no option 'x'; it has none"),
    ("focal(gamma)", "'=' where"),
    ("focal(gamma=x)", "a number where 'x'"),
    ("focal(gamma=1, gamma=2)", "twice"),
    ("focal(gamma=2", r"'\)' where its end"),
    ("focal(gamma=1e999)", "too large"),
    ("focal(alpha=1)", "alpha from 0"),
    ("ce(radius=1.5)", "whole number"),
    ("ce(sigma=0)", "sigma above 0"),
    ("tversky(fp=0, fn=0)", "above 0"),
    ("hausdorff(alpha=0)", "above 0"),
]


@pytest.mark.parametrize(("text", "needle"), REFUSED)
def test_what_is_refused(text: str, needle: str) -> None:
    with pytest.raises(UsageError, match=needle):
        parse(text)


@given(st.text(alphabet="ce dice+*(),=0.1ex\n\0é", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse(text).terms


def first_losses(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """What the shipped person models were trained with, written out."""
    known = truth >= 0
    soft = truth.clamp(min=0)
    border = 1 + 3 * (F.max_pool2d(soft, 7, 1, 3) + F.max_pool2d(-soft, 7, 1, 3))
    weights = border * known
    ce = (F.binary_cross_entropy_with_logits(logits, soft, reduction="none") * weights).sum() / weights.sum()
    p, t = logits.sigmoid() * known, truth * known
    return ce + 0.5 * (1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))


def test_the_defaults_are_what_they_were() -> None:
    random = torch.Generator().manual_seed(0)
    logits, truth = torch.randn(2, 1, 9, 9, generator=random), torch.rand(2, 1, 9, 9, generator=random)
    truth[0, :, :3] = -1
    torch.testing.assert_close(parse(PERSON_LOSS)(logits, truth), first_losses(logits, truth))
    # ln 2, and half of 1 - mean IoU, each class having 0.5 / 1.5
    ids = torch.tensor([[[0, 1, 255]]])
    assert parse(CLASS_LOSS)(torch.zeros(1, 2, 1, 3), ids).item() == pytest.approx(math.log(2) + 0.5 * (1 - 1 / 3))


@pytest.mark.parametrize("name", [*LOSSES, "ce(border)", "ce(unet)", "focal(gamma=0.5)", "lovasz(per_image)"])
@pytest.mark.parametrize("kind", ["person", "classes"])
class TestEveryLoss:
    def make(self, kind: str, known: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """A picture of 8 x 8 with a square, with an unknown row, and the logits that are right."""
        square = torch.zeros(2, 8, 8)
        square[:, 2:6, 2:6] = 1
        right = 40 * (2 * square - 1)
        if kind == "person":
            square[:, 0] = -1
            return right[:, None], square[:, None] if known else torch.full((2, 1, 8, 8), -1.0)
        ids = square.long()
        ids[:, 0] = 255
        return torch.stack([-right, right, torch.full_like(right, -80.0)], 1), ids if known else torch.full_like(ids, 255)

    def test_the_truth_costs_nothing_and_errors_do(self, name: str, kind: str) -> None:
        logits, truth = self.make(kind)
        loss = parse(name)
        assert loss(logits, truth).item() == pytest.approx(0, abs=1e-4)
        assert loss(-logits, truth).item() > 0.01
        changed = logits.clone()
        changed[:, :, 0] *= -1  # where the truth is not known
        assert loss(changed, truth).item() == pytest.approx(loss(logits, truth).item(), abs=1e-6)

    def test_gradients_are_finite_and_go_downhill(self, name: str, kind: str) -> None:
        logits, truth = self.make(kind)
        for start in (0 * logits, -logits, 0.02 * logits):
            x = start.clone().requires_grad_()
            value = parse(name)(x, truth)
            (slope,) = torch.autograd.grad(value, x)
            assert torch.isfinite(slope).all()
            assert (slope[:, :, 0] == 0).all()
        assert parse(name)(x.detach() - 0.01 * slope / slope.abs().max(), truth) < value

    def test_nothing_known_costs_nothing(self, name: str, kind: str) -> None:
        logits, truth = self.make(kind, known=False)
        x = (0 * logits).requires_grad_()
        value = parse(name)(x, truth)
        (slope,) = torch.autograd.grad(value, x)
        assert value.item() == pytest.approx(0, abs=1e-3)
        assert (slope == 0).all()
