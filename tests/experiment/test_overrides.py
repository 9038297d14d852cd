"""Fields from the command line."""

from typing import Any

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.experiment.overrides import parse_overrides

FIELDS: dict[str, Any] = {
    "max_epoch": 100,
    "depth": 0.33,
    "ema": True,
    "act": "silu",
    "input_size": (640, 640),
    "mosaic_scale": (0.8, 1.6),
    "seed": None,
    "attention_options": {},
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("max_epoch", "30", 30, id="whole"),
        pytest.param("depth", "0.67", 0.67, id="float"),
        pytest.param("depth", "1", 1.0, id="float from whole"),
        pytest.param("depth", "1e-3", 1e-3, id="float with exponent"),
        pytest.param("ema", "False", False, id="False"),
        pytest.param("ema", "true", True, id="true"),
        pytest.param("ema", "0", False, id="0"),
        pytest.param("act", "relu", "relu", id="text"),
        pytest.param("act", "1", "1", id="text that looks like a number"),
        pytest.param("input_size", "416,416", (416, 416), id="tuple without brackets"),
        pytest.param("input_size", "(416, 640)", (416, 640), id="tuple"),
        pytest.param("input_size", "[416, 640]", (416, 640), id="tuple from list"),
        pytest.param("mosaic_scale", "(1, 1.5)", (1, 1.5), id="tuple of floats"),
        pytest.param("seed", "3", 3, id="None to number"),
        pytest.param("seed", "abc", "abc", id="None to text"),
        pytest.param("attention_options", "{'norm': 'sigmoid'}", {"norm": "sigmoid"}, id="dict"),
        pytest.param("max_epoch", 5, 5, id="a value that is no text"),
    ],
)
def test_values_take_the_type_of_the_field(name: str, text: Any, value: Any) -> None:
    got = parse_overrides(FIELDS, [name, text])[name]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("max_epoch", "3.5", id="float for whole"),
        pytest.param("max_epoch", "many", id="text for whole"),
        pytest.param("max_epoch", "True", id="bool for whole"),
        pytest.param("depth", "deep", id="text for float"),
        pytest.param("ema", "maybe", id="text for bool"),
        pytest.param("ema", "2", id="2 for bool"),
        pytest.param("input_size", "416", id="one number for two"),
        pytest.param("input_size", "416,416,3", id="three numbers for two"),
        pytest.param("input_size", "41.6,41.6", id="floats for whole ones"),
        pytest.param("input_size", "'a','b'", id="texts for numbers"),
        pytest.param("attention_options", "gssam", id="text for dict"),
    ],
)
def test_wrong_types_are_refused(name: str, text: str) -> None:
    with pytest.raises(UserError, match=rf"{name} must be .*{text.split(',')[0]}"):
        parse_overrides(FIELDS, [name, text])


def test_a_tuple_of_any_length_where_the_caller_checks_it() -> None:
    fields = {"strides": (8, 16, 32)}
    assert parse_overrides(fields, ["strides", "4,8,16,32"], any_length=("strides",)) == {"strides": (4, 8, 16, 32)}
    with pytest.raises(UserError, match="strides must be 3 values"):
        parse_overrides(fields, ["strides", "4,8,16,32"])
    with pytest.raises(UserError, match="strides must be 3 values"):
        parse_overrides(fields, ["strides", "fine"], any_length=("strides",))


def test_unknown_field_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no field 'max_epochs'; did you mean 'max_epoch'"):
        parse_overrides(FIELDS, ["max_epochs", "3"])


def test_field_like_no_other_lists_all() -> None:
    with pytest.raises(UserError, match="it has: act, attention_options, depth"):
        parse_overrides(FIELDS, ["xyzzy", "3"])


def test_name_without_value_is_refused() -> None:
    with pytest.raises(UserError, match="'depth' has no value"):
        parse_overrides(FIELDS, ["max_epoch", "3", "depth"])


def test_nothing_to_override() -> None:
    assert parse_overrides(FIELDS, []) == {}
