from collections.abc import Iterator

import numpy as np
import pytest

from yolox_gssam.inference import lettering as letters
from yolox_gssam.inference.lettering import put_text, text_size


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(letters, "find_spec", lambda name: None)
    for kept in (letters._font, letters._text_mask):
        kept.cache_clear()
    yield
    for kept in (letters._font, letters._text_mask):
        kept.cache_clear()


@pytest.mark.usefixtures("without_matplotlib")
def test_pillow_s_own_font_where_matplotlib_is_not_installed() -> None:
    assert "Aileron" in letters._font(14).getname()[0]
    heights = {text_size(text, 14)[1] for text in ("drone", "gjpq", "")}
    assert len(heights) == 1
    image = np.zeros((40, 120, 3), np.uint8)
    put_text(image, "drone 71%", 2, 2, 14, (255, 255, 255))
    assert (image > 128).any(axis=2).sum() > 50


def test_every_text_of_a_size_has_the_same_height() -> None:
    heights = {text_size(text, 12)[1] for text in ("drone", "gjpq", "ÄÉ", "", "дрон")}
    assert len(heights) == 1
    assert text_size("drone drone", 12)[0] > text_size("drone", 12)[0]
    assert text_size("drone", 24)[0] > 1.7 * text_size("drone", 12)[0]


def test_letters_have_the_colour_and_stay_in_their_rectangle() -> None:
    image = np.full((60, 100, 3), 255, np.uint8)
    width, height = text_size("drone", 14)
    put_text(image, "drone", 20, 10, 14, (0, 0, 200))
    inside = image[10 : 10 + height, 20 : 20 + width]
    assert (inside == (0, 0, 200)).all(axis=2).sum() > 5
    inside[:] = 255
    assert (image == 255).all()


@pytest.mark.parametrize(
    ("left", "top"), [(-20, 5), (90, 5), (5, -8), (5, 55), (-500, -500), (500, 500)], ids=lambda value: str(value)
)
def test_what_lies_beyond_the_image_is_cut_off(left: int, top: int) -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    put_text(image, "drone", left, top, 14, (255, 255, 255))
    whole = np.zeros((1160, 1200, 3), np.uint8)
    put_text(whole, "drone", left + 550, top + 550, 14, (255, 255, 255))
    np.testing.assert_array_equal(image, whole[550:610, 550:650])


@pytest.mark.parametrize("text", ["дрон", "Δρόνος", "무인기", "无人机", "🛸", "a\nb\tc\0", "", "﷽", "x" * 500])
def test_any_text_can_be_drawn(text: str) -> None:
    image = np.zeros((40, 200, 3), np.uint8)
    put_text(image, text, 2, 2, 14, (255, 255, 255))
    assert image.any() == bool(text.strip())


def test_other_alphabets_are_not_all_the_same_box() -> None:
    drawn = []
    for text in ("д", "р", "Δ", "ö"):
        image = np.zeros((40, 40, 3), np.uint8)
        put_text(image, text, 2, 2, 14, (255, 255, 255))
        drawn.append(image.tobytes())
    assert len(set(drawn)) == 4
