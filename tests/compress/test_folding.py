import copy

import pytest
import torch
from torch import nn

from edgeseg.compress.folding import Folded, absorb_norms
from edgeseg.errors import ModelError
from edgeseg.export.rewrites import rewrite
from edgeseg.models.checkpoint import ModelCard

FACTORED = {
    "stage2.1.conv.0": {"kind": "separable", "multiplier": 2},
    "stage2.2.conv.0": {"kind": "separable", "multiplier": 1},
    "stage2.2.conv.1": {"kind": "separable", "multiplier": 1},
    "stage2.3.expand.0": {"kind": "low_rank", "rank": 8},
}
NETWORKS = [
    ("enet", {"activation": "relu"}),
    ("enet", {"activation": "prelu"}),
    ("deeplabv3plus-mobilenetv2", {"width": 0.25, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}),
    ("enet", {"activation": "relu"}, FACTORED),
]


def settled(name, arguments, rewrites=None):
    """A network whose batch norms have statistics and weights like those of a trained one."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = ModelCard(name, arguments, size=(32, 32), rewrites=rewrites or {}).build().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -1, 1),
                (module.running_var, 0.5, 2),
                (module.weight, 0.5, 2),
                (module.bias, -1, 1),
            ):
                tensor.data.uniform_(low, high, generator=generator)
        if isinstance(module, nn.PReLU):
            module.weight.data.uniform_(0, 0.5, generator=generator)
    return network


@pytest.fixture(scope="module", params=NETWORKS, ids=["enet-relu", "enet-prelu", "deeplab", "enet-factored"])
def network(request):
    return settled(*request.param)


def test_absorbing_changes_no_logit(network):
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(
            absorb_norms(network)[0](image), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )


def test_absorbed_norms_do_nothing_but_add(network):
    absorbed, idle = absorb_norms(network)
    for name, count in idle.items():
        norm = absorbed.get_submodule(name.removesuffix(".weight"))
        assert (norm.weight[:count] == 1).all()
        assert (torch.rsqrt(norm.running_var + norm.eps) == 1).all()
        assert not norm.running_mean.any()
    assert len(idle) > 20


def test_weights_of_the_rewriting_follow_those_of_the_network(network):
    """Whatever the values are: rewriting the network with them gives what `weights` computes, bit for bit."""
    folded = Folded(network, rewrite)
    noise = torch.rand(folded.values.shape, generator=torch.Generator().manual_seed(2)) - 0.5
    idle = absorb_norms(network)[1]
    start = 0
    for name, p in network.named_parameters():  # what is 1 by structure is never trained: no gradient reaches it
        noise[start : start + idle.get(name, 0)] = 0
        start += p.numel()
    values = folded.values + noise * folded.steps
    expected = dict(rewrite(folded.network_with(values)).named_parameters())
    got = folded.weights(values)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], value) for name, value in expected.items())


def test_what_is_one_by_structure_gets_no_gradient(network):
    folded = Folded(network, rewrite)
    values = folded.values.clone().requires_grad_()
    sum(weight.sum() for weight in folded.weights(values).values()).backward()
    idle = absorb_norms(network)[1]
    start = 0
    for name, p in network.named_parameters():
        gradient = values.grad[start : start + p.numel()]
        count = idle.get(name, 0)
        assert not gradient[:count].any()
        assert (gradient[count:] != 0).all() or "weight" in name  # `a` and `1 - a` of a PReLU cancel out
        start += p.numel()


def test_steps_by_hand():
    """A channel's step is a 127th of its largest weight, a bias's a 127th of the root mean square."""
    conv = nn.Conv2d(1, 2, 1)
    conv.weight.data = torch.tensor([1.27, -2.54]).reshape(2, 1, 1, 1)
    conv.bias.data = torch.tensor([3.0, 4.0])
    rms = (12.5**0.5) / 127
    torch.testing.assert_close(Folded(conv, copy.deepcopy).steps, torch.tensor([0.01, 0.02, rms, rms]))


def test_a_rewriting_that_mixes_weights_is_refused():
    def doubled(network):
        network = copy.deepcopy(network)
        network.weight.data *= 2
        return network

    with pytest.raises(ModelError, match="mixes its weights"):
        Folded(nn.Conv2d(3, 4, 1), doubled)
