"""Choosing a device and a precision."""

import pytest
import torch

from yolox_gssam.common.device import autocast, choose_device, half_dtype
from yolox_gssam.common.errors import UserError


def test_named_device() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_default_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device().type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("abacus", "not known", id="unknown"),
        pytest.param("cuda:99", "this machine has", id="too many"),
        pytest.param("meta", "only cpu, cuda and mps", id="meta"),
    ],
)
def test_devices_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_device(name)


def test_gpu_is_yolox_name_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("gpu") == torch.device("cuda")


def test_mixed_precision_of_each_device() -> None:
    assert half_dtype(torch.device("cpu")) is torch.bfloat16
    assert half_dtype(torch.device("cuda")) is torch.float16
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
    with autocast(torch.device("cpu"), None):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


def test_a_number_is_a_cuda_device_as_in_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="device '2': this machine has 2 CUDA devices"):
        choose_device("2")
