"""The networks of Table 1, checked against the numbers that the paper prints, and against torchvision."""

import csv
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
import torchvision

from yolox_gssam.classification import NETWORKS, build_classifier, load_classifier
from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.models.operations import multiply_adds

TABLE = Path(__file__).parents[2].parent / "shared" / "paper" / "table1.csv"
ROWS = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []


@pytest.mark.skipif(not ROWS, reason="../shared/paper is not there")
class TestTable1:
    def test_has_all_rows(self) -> None:
        assert {(row["model"], row["attention"]) for row in ROWS} == {
            (network, attention) for network in NETWORKS for attention in ("none", "cbam", "gssam")
        }

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['model']}-{row['attention']}")
    def test_parameters_to_the_unit_and_gflops_within_half_a_percent(self, row: dict[str, str]) -> None:
        with torch.device("meta"):
            model = build_classifier(row["model"], row["attention"], 10)
        assert sum(p.numel() for p in model.parameters()) == int(row["params"])
        counted = multiply_adds(model, (244, 244)) / 1e9
        assert counted == pytest.approx(float(row["gflops"]), rel=0.005)


def images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("network", NETWORKS)
def test_logits_and_the_five_maps(network: str) -> None:
    """Each map is half the one before, but for ResNets, whose first two are of one size."""
    with torch.device("meta"):
        model = build_classifier(network, "gssam", 7)
        x = torch.zeros(2, 3, 64, 64)
    assert model(x).shape == (2, 7)
    sides = []
    for stage, attention in zip(model.stages, model.attention, strict=True):
        before = stage(x)
        x = attention(before)
        assert x.shape == before.shape
        sides.append(x.shape[-1])
    assert sides == ([16, 16, 8, 4, 2] if network.startswith("resnet") else [32, 16, 8, 4, 2])


@pytest.mark.parametrize("size", [(65, 97), (33, 64)], ids=str)
@pytest.mark.parametrize("attention", ["none", "cbam", "gssam"])
def test_odd_sizes(attention: str, size: tuple[int, int]) -> None:
    model = build_classifier("resnet34", attention, 3).eval()
    with torch.inference_mode():
        assert model(images(1, *size)).isfinite().all()


def test_resnet50_is_torchvisions() -> None:
    torch.manual_seed(0)
    own = build_classifier("resnet50", "none", 5).eval()
    torch.manual_seed(0)
    reference = torchvision.models.resnet50(num_classes=5).eval()
    with torch.inference_mode():
        torch.testing.assert_close(own(images(2, 64, 64)), reference(images(2, 64, 64)), rtol=0, atol=0)


def test_attention_leaves_the_other_first_weights_alone() -> None:
    states = []
    for attention in ("none", "gssam"):
        torch.manual_seed(0)
        states.append(build_classifier("resnet34", attention, 3).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_gradient_reaches_every_attention() -> None:
    torch.manual_seed(0)
    model = build_classifier("resnet34", "gssam", 3)
    F.cross_entropy(model(images(4, 96, 96)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    for attention in model.attention:
        assert attention.embedding[0].spatial.weight.grad.abs().max() > 0


def test_five_options_are_one_a_point() -> None:
    options = {"pool_size": [4, 4, 2, 2, 1], "num_convs": 2}
    model = build_classifier("resnet34", "gssam", 3, attention_options=options)
    assert [attention.pool_size for attention in model.attention] == [4, 4, 2, 2, 1]
    with pytest.raises(UserError, match="has 2 values; give one value, or 5: one each for point1"):
        build_classifier("resnet34", "gssam", 3, attention_options={"pool_size": [4, 4], "num_convs": 2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("alexnet", "none", 3), "unknown network 'alexnet'; known: resnet34", id="network"),
        pytest.param(("resnet34", "none", 1), "at least 2 classes, not 1", id="classes"),
        pytest.param(("resnet34", "glasses", 3), "glasses", id="attention"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[str, str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_classifier(*arguments)


def test_pretrained_weights_but_for_the_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = torchvision.models.resnet50().state_dict()
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", lambda *_, **__: stored)
    model = build_classifier("resnet50", "none", 3, pretrained=True)
    torch.testing.assert_close(model.stages[4][2].conv3.weight, stored["layer4.2.conv3.weight"], rtol=0, atol=0)
    assert model.head[-1].weight.shape == (3, 2048)


def test_pretrained_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", fail)
    with pytest.raises(UserError, match=r"put the file into .*checkpoints, or train without --pretrained"):
        build_classifier("resnet50", "none", 3, pretrained=True)
    with pytest.raises(UserError, match="darknet53: not torchvision's"):
        build_classifier("darknet53", "none", 3, pretrained=True)


class TestLoading:
    def info(self) -> dict[str, Any]:
        names = ["bird", "drone", "plane"]
        return {
            "network": "resnet34",
            "attention": "gssam",
            "attention_options": {"pool_size": [4, 4, 2, 2, 1], "num_convs": 2},
            "class_names": names,
            "image_size": 64,
        }

    def test_round_trip(self, tmp_path: Path) -> None:
        info = self.info()
        model = build_classifier("resnet34", "gssam", 3, attention_options=info["attention_options"])
        model(images(4, 64, 64))  # moves BatchNorm's statistics
        save_checkpoint(tmp_path / "best.pth", {"model": model.state_dict(), "classifier": info})
        loaded, said = load_classifier(tmp_path / "best.pth", torch.device("cpu"))
        assert said == info
        assert not loaded.training
        with torch.inference_mode():
            expected = model.eval()(images(2, 64, 64))
            torch.testing.assert_close(loaded(images(2, 64, 64)), expected)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            pytest.param(None, "not a checkpoint of a classifier", id="a detector's"),
            pytest.param({"network": "alexnet"}, "unknown network 'alexnet'", id="network"),
            pytest.param({"network": "resnet50"}, "Error", id="other weights"),
            pytest.param({"class_names": 3}, "TypeError", id="classes"),
        ],
    )
    def test_other_checkpoints_are_refused(self, changed: dict[str, Any] | None, message: str, tmp_path: Path) -> None:
        state: dict[str, Any] = {"model": {"x": torch.zeros(1)}}
        if changed is not None:
            state["classifier"] = {**self.info(), **changed}
        save_checkpoint(tmp_path / "some.pth", state)
        with pytest.raises(UserError, match=message):
            load_classifier(tmp_path / "some.pth", torch.device("cpu"))
