from __future__ import annotations

import pytest
import torch

from edgeseg.errors import UsageError
from edgeseg.models import MODELS
from edgeseg.train.device import CPU, autocast, choose_device, describe, loaders, place


def test_a_processor_can_always_be_chosen() -> None:
    assert choose_device("cpu") == CPU
    assert describe(CPU).endswith(" CPU")
    assert loaders(CPU, 1) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_a_graphics_card_that_is_not_there_is_said() -> None:
    assert choose_device() == CPU
    with pytest.raises(UsageError, match="torch sees no graphics card here; leave it out to train on the processor"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_processes_take_cards_in_turn() -> None:
    assert choose_device() == torch.device("cuda", 0)
    with pytest.raises(UsageError, match="start one for each card"):
        choose_device("cuda", torch.cuda.device_count())


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("float32", torch.float32)])
def test_precision_of_convolutions(precision: str, dtype: torch.dtype) -> None:
    layer = torch.nn.Conv2d(3, 4, 1)
    with autocast(CPU, precision):
        assert layer(torch.zeros(1, 3, 4, 4)).dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_a_network_on_a_card_gives_what_it_gives_on_a_processor() -> None:
    torch.manual_seed(0)
    network = MODELS["enet"](1, activation="relu").eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(image)
        card = choose_device("cuda")
        torch.testing.assert_close(place(network, card)(image.to(card)).cpu(), expected, rtol=1e-2, atol=1e-2)
