from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgeseg.errors import EdgesegError, ModelError
from edgeseg.models.foreign import is_foreign, load_foreign, read_state
from tests.networks import SegNetLike, seeded

NAME = "tests.networks:SegNetLike"
CLASSES = ("background", "person")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net:Net", True),
        ("package.module:make_net", True),
        ("person", False),
        ("runs/last.safetensors", False),
        ("C:\\models\\last.safetensors", False),
        ("C:/models/last", False),
        (":Net", False),
        ("net:", False),
        ("net:2", False),
    ],
)
def test_what_names_a_users_network(text: str, expected: bool) -> None:
    assert is_foreign(text) is expected


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return seeded(SegNetLike())


@pytest.fixture
def weights(network: torch.nn.Module, tmp_path: Path) -> Path:
    torch.save(network.state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def test_two_channels_become_their_difference(network: torch.nn.Module, weights: Path) -> None:
    model = load_foreign(NAME, weights, classes=CLASSES, person="person", size=(32, 64))
    image = torch.rand(2, 3, 32, 64)
    out = network(image)["out"]
    torch.testing.assert_close(model.network(image), out[:, 1:] - out[:, :1])
    assert model.card.channels == 1
    assert (model.card.person_class, model.card.size, model.card.name) == (1, (32, 64), "segnetlike")
    assert model.network.output_stride == 1


def test_mean_and_standard_deviation_become_part_of_the_network(network: torch.nn.Module, weights: Path) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    model = load_foreign(NAME, weights, classes=CLASSES, size=(32, 32), mean=mean, std=std)
    image = torch.rand(1, 3, 32, 32)
    normalised = (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    out = network(normalised)["out"]
    torch.testing.assert_close(model.network(image), out[:, 1:] - out[:, :1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_weights_are_found_where_training_programs_keep_them(
    network: torch.nn.Module, tmp_path: Path, prefix: str, nested: str | None
) -> None:
    state: Any = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save({"epoch": 3, nested: state} if nested else state, tmp_path / "net.pth")
    assert load_foreign(NAME, tmp_path / "net.pth", classes=CLASSES, size=(32, 32)).network is not None


def test_safetensors_are_read(network: torch.nn.Module, tmp_path: Path) -> None:
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    assert read_state(tmp_path / "net.safetensors").keys() == network.state_dict().keys()


class Bomb:
    """Pickles as a call, which must never be made."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("exploded"), "!"))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(ModelError, match="more than tensors"):
        read_state(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tests.nowhere:Net", {}, "no Python module 'tests.nowhere'"),
        ("tests.networks:Net", {}, "nothing to call named 'Net'"),
        (NAME, {"arguments": {"depth": 3}}, "--set NAME=VALUE"),
        ("pathlib:Path", {}, "not a torch.nn.Module"),
        (NAME, {"classes": ()}, "gives 2 channels; name its classes"),
        (NAME, {"classes": ("a", "b", "c")}, "--classes has 3 names"),
        (NAME, {"person": "cat"}, "--person cat"),
        (NAME, {"size": (30, 31)}, "does not take an image of 30x31"),
        (NAME, {"arguments": {"classes": 5}}, "2 differ in shape"),
        ("tests.networks:Unusual", {}, "are missing"),
    ],
)
def test_what_does_not_fit_is_named(weights: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgesegError, match=message):
        load_foreign(name, weights, **{"classes": CLASSES, "size": (32, 32), **options})


def test_a_network_that_gives_no_map_is_refused(tmp_path: Path) -> None:
    torch.save({"unused": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="does not fit"):
        load_foreign("tests.networks:Flat", tmp_path / "net.pth", classes=CLASSES)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged"), (b"not a checkpoint", "damaged"), (None, "do not exist")],
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "net.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_state(path)


def test_numbers_are_no_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_state(tmp_path / "net.pth")


def test_nan_is_named(network: torch.nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    state["down.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"NaN.*down\.weight"):
        load_foreign(NAME, tmp_path / "net.pth", classes=CLASSES, size=(32, 32))
