"""The file of a bank, and what is drawn from one."""

from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.cutouts import bank as bank_module
from yolox_gssam.data.cutouts.bank import MOST_SIDE, SHIPPED, Cutout, CutoutBank

SOURCES = {"a": "CC0, somewhere", "b": "MIT, elsewhere"}


def cutout(kind: str, source: str, value: int, side: int = 9) -> Cutout:
    return Cutout(np.full((side, side + 3, 4), value, np.uint8), kind, source)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    own = [
        Cutout(rng.integers(0, 255, (h, w, 4), dtype=np.uint8), kind, source)
        for h, w, kind, source in [(3, 64, "drone", "a"), (64, 5, "kite", "b"), (1, 1, "drone", "b")]
    ]
    CutoutBank(own, SOURCES).save(tmp_path / "bank.npz")
    bank = CutoutBank.load(tmp_path / "bank.npz")
    assert bank.sources == SOURCES
    assert bank.kinds == {"drone": 2, "kite": 1}
    for before, after in zip(own, bank.cutouts, strict=True):
        np.testing.assert_array_equal(before.pixels, after.pixels)
        assert (before.kind, before.source) == (after.kind, after.source)


def test_a_source_can_be_left_out() -> None:
    bank = CutoutBank([cutout("drone", "a", 1), cutout("kite", "b", 2), cutout("drone", "b", 3)], SOURCES)
    left = bank.without(["a"])
    assert left is not None
    assert [(kept.kind, kept.source) for kept in left.cutouts] == [("kite", "b"), ("drone", "b")]
    assert left.sources == {"b": SOURCES["b"]}
    assert bank.without(["a", "b"]) is None


def test_each_source_is_as_likely_as_the_other() -> None:
    bank = CutoutBank([cutout("drone", "a", 1)] * 9 + [cutout("drone", "b", 2)], SOURCES)
    rng = np.random.default_rng(0)
    drawn = [bank.draw("drone", rng).source for _ in range(1000)]
    assert 430 < drawn.count("b") < 570


@pytest.mark.parametrize(
    ("cutouts", "message"),
    [
        pytest.param([], "at least one", id="empty"),
        pytest.param([cutout("drone", "c", 1)], "cut-outs of c, whose licence", id="unknown-source"),
    ],
)
def test_a_bank_needs_cut_outs_with_a_licence(cutouts: list[Cutout], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CutoutBank(cutouts, SOURCES)


@pytest.mark.parametrize("content", [None, b"nothing of the kind", b""], ids=["absent", "text", "empty"])
def test_no_bank_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bank.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="bank of cut-outs"):
        CutoutBank.load(path)


def test_a_cut_off_bank_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bank.npz"
    CutoutBank([cutout("drone", "a", 1)], SOURCES).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UserError, match="bank of cut-outs"):
        CutoutBank.load(path)


def test_the_bank_that_comes_along_has_more_than_drones() -> None:
    bank = CutoutBank.load(Path(SHIPPED))
    assert {"drone", "bird", "airplane", "helicopter", "balloon", "kite"} <= bank.kinds.keys()
    assert {cutout.source for cutout in bank.cutouts} == bank.sources.keys()
    assert max(side for cutout in bank.cutouts for side in cutout.pixels.shape[:2]) <= MOST_SIDE
    assert Path(bank_module.__file__).with_name("shipped.npz").stat().st_size < 6e6
