import math

import pytest
import torch

from edgeseg.errors import ModelError, UsageError
from edgeseg.models.checkpoint import ModelCard, save_checkpoint
from edgeseg.models.distil import Teacher, distillation, load_teacher
from edgeseg.models.layers import SegmentationNetwork


def test_by_hand_with_one_logit():
    """Teacher 0 (probability 1/2), student 2 T: T^2 * (ln 1/2 / sigmoid(2) + ln 1/2 / (1 - sigmoid(2))) / 2."""
    p = 1 / (1 + math.exp(-2))
    expected = 9 * (0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p)))
    assert distillation(torch.full((1, 1, 2, 2), 6.0), torch.zeros(1, 1, 2, 2), 3.0).item() == pytest.approx(expected, rel=1e-5)


def test_two_classes_say_the_same_as_their_difference():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 4, 4, generator=generator), torch.randn(2, 2, 4, 4, generator=generator)
    one = distillation(student[:, 1:] - student[:, :1], teacher[:, 1:] - teacher[:, :1])
    assert distillation(student, teacher).item() == pytest.approx(one.item(), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_left_to_learn_from_oneself(channels):
    logits = torch.randn(2, channels, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = distillation(logits, logits.detach())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6


def test_a_smaller_teacher_is_enlarged():
    assert distillation(torch.full((1, 1, 8, 8), 2.0), torch.full((1, 1, 2, 2), 2.0)).item() == pytest.approx(0, abs=1e-6)


class Brightness(SegmentationNetwork):
    """One logit for each 8x8 block: its mean brightness, times a weight of 1. Keeps what it was given."""

    size_divisor, output_stride = 8, 8

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen = None

    def forward(self, image):
        self.seen = image
        return torch.nn.functional.avg_pool2d(image.mean(1, keepdim=True), 8) * self.weight


class Left(Brightness):
    """As Brightness, of the left half of each block alone: its mirror image has another answer."""

    def forward(self, image):
        self.seen = image
        n, _, h, w = image.shape
        blocks = image.mean(1).reshape(n, h // 8, 8, w // 8, 8)[..., :4]
        return blocks.mean((2, 4))[:, None] * self.weight


def test_a_mirrored_teacher_by_hand():
    """One block is white on its left half, which the teacher sees (logit 1). In the mirror image it is white on its right half,
    which the teacher does not see (logit 0), and is the other block: its own place has the mean, 1/2, the other one 0.
    """
    image = torch.zeros(1, 3, 8, 16)
    image[..., :4] = 1
    plain, mirrored = (Teacher("left", Left(), ("background", "person"), "", mirrored=m) for m in (False, True))
    assert plain.logits(image).flatten().tolist() == [1.0, 0.0]
    assert mirrored.logits(image).flatten().tolist() == [0.5, 0.0]


@pytest.mark.parametrize(("scale", "seen"), [(1.0, (16, 24)), (1.5, (24, 32)), (0.25, (8, 8))])
def test_a_teacher_sees_pictures_at_its_scale(scale, seen):
    """16x24 by 1.5 is 24x36, of which strides of 8 take 24x32 (4.5 rounds to even); nothing is smaller than a stride."""
    teacher = Teacher("grey", Brightness(), ("background", "person"), "", scale=scale)
    assert teacher.logits(torch.full((1, 3, 16, 24), 0.5)).flatten().tolist() == [0.5] * (seen[0] * seen[1] // 64)
    assert tuple(teacher.network.seen.shape[-2:]) == seen
    assert teacher.how == "weight 1, temperature 2" + (f", scale {scale:g}" if scale != 1 else "")


def test_views_that_a_teacher_cannot_take():
    with pytest.raises(UsageError, match="a scale above 0, got 0"):
        Teacher("grey", Brightness(), (), "", scale=0)
    with pytest.raises(UsageError, match="features are compared of the same picture"):
        Teacher("grey", Brightness(), (), "", features=1.0, mirrored=True)


def test_a_teacher_by_hand():
    """Logit 1/2 of 1/2 grey against a student's 1/2: nothing to learn. Against 0 the weight of the loss counts."""
    teacher = Teacher("grey", Brightness(), ("background", "person"), "", weight=3.0, temperature=1.0)
    image = torch.full((2, 3, 16, 16), 0.5)
    assert teacher.logits(image).dtype == torch.float32
    assert teacher.logits(image).flatten().tolist() == [0.5] * 8
    assert teacher.loss(image, torch.full((2, 1, 4, 4), 0.5)).item() == pytest.approx(0, abs=1e-6)
    p = 1 / (1 + math.exp(-0.5))
    expected = 3 * (p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5))
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    teacher.loss(image, logits).backward()
    assert teacher.loss(image, logits).item() == pytest.approx(expected, rel=1e-5)
    assert logits.grad is not None
    assert teacher.network.weight.grad is None


@pytest.mark.parametrize(("size", "seen"), [((16, 24), (16, 24)), ((16, 20), (16, 16)), ((4, 30), (8, 32))])
def test_pictures_that_a_teacher_cannot_take_are_stretched(size, seen):
    teacher = Teacher("grey", Brightness(), ("background", "person"), "")
    teacher.logits(torch.zeros(1, 3, *size))
    assert teacher.network.seen.shape == (1, 3, *seen)


def test_a_teacher_from_a_file(tmp_path):
    card = ModelCard("enet", classes=("ground", "tree", "sea"), person_class=None)
    save_checkpoint(tmp_path / "sea.safetensors", card.build(), card)
    teacher = load_teacher(str(tmp_path / "sea.safetensors"), 2.0, 3.0)
    assert (teacher.weight, teacher.temperature, teacher.network.training) == (2.0, 3.0, False)
    teacher.check(("ground", "tree", "sea"))
    with pytest.raises(ModelError, match="knows ground, tree, sea, not background, person; choose another"):
        teacher.check(("background", "person"))
    with pytest.raises(ModelError, match="the teacher enet has fresh weights"):
        load_teacher("enet")
