"""Fields of an experiment set from the command line: `max_epoch 30 depth 0.33 input_size 416,416`.

YOLOX's own `merge` drops a name it does not know without a word and reads "False" as True; here both are errors or
read right.
"""

import ast
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from yolox_gssam.common.errors import UserError

# What a field may hold; anything else in an experiment is something it built.
PLAIN = (bool, int, float, str, tuple, list, dict, type(None))
# Names of YOLOX before 0.2, and of other programs, that no likeness leads from.
OTHER_NAMES = {
    "scale": "did you mean 'mosaic_scale'?",
    "mscale": "did you mean 'mixup_scale'?",
    "batch_size": "the batch size is given to the tool: -b",
    "lr": "did you mean 'basic_lr_per_img'?",
    "learning_rate": "did you mean 'basic_lr_per_img'?",
    "img_size": "did you mean 'input_size'?",
}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_overrides(
    fields: Mapping[str, Any], options: Sequence[Any], any_length: Collection[str] = ()
) -> dict[str, Any]:
    """The values that `options` (name, value, name, value, ...) give to `fields`, in the types the fields have.

    Args:
        fields: name -> present value; its type says what a new value must be. None takes any Python literal or text.
        options: names and values; a value that is not a string is taken as it is, if its type fits.
        any_length: names of tuples that may become longer or shorter; which ones are right the caller checks.

    Raises:
        UserError: an odd number of options, an unknown name (the nearest is named) or a value of the wrong type.

    >>> parse_overrides({"depth": 1.0, "ema": True}, ["depth", "0.33", "ema", "False"])
    {'depth': 0.33, 'ema': False}
    """
    if len(options) % 2:
        raise UserError(f"overrides come in pairs of a name and a value; {options[-1]!r} has no value")
    values = {}
    for name, text in zip(options[::2], options[1::2], strict=True):
        if str(name).startswith("-"):
            raise UserError(f"{name} stands behind the fields of the experiment; give all options before them")
        if name not in fields:
            near = nearest_field(str(name), fields) or f"it has: {', '.join(sorted(fields))}"
            raise UserError(f"the experiment has no field {name!r}; {near}")
        values[name] = _parse(name, text, fields[name], name in any_length)
    return values


def nearest_field(name: str, known: Mapping[str, Any]) -> str | None:
    """A few words that lead from a name that is no field to the one that was meant; None where none is near."""
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else None


def _parse(name: str, text: Any, present: Any, any_length: bool) -> Any:
    if isinstance(present, bool):
        if str(text).lower() not in TRUTH:
            raise UserError(f"{name} must be True or False, not {text!r}")
        return TRUTH[str(text).lower()]
    if isinstance(present, str):
        return str(text)
    value = _literal(text)
    if present is None:
        return value
    if isinstance(present, float) and type(value) is int:
        return float(value)
    if isinstance(present, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is not type(present):
        raise UserError(f"{name} must be {_describe(present)}, not {text!r}")
    if isinstance(present, tuple) and not any_length and all(isinstance(item, int | float) for item in present):
        # As many numbers as there are now; whole ones where these are whole.
        kinds = int if all(isinstance(item, int) for item in present) else (int, float)
        if len(value) != len(present) or not all(isinstance(item, kinds) for item in value):
            raise UserError(f"{name} must be {_describe(present)}, not {text!r}")
    return value


def _literal(text: Any) -> Any:
    """`text` as a Python literal, or as it is where it is none."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _describe(present: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        tuple: f"{len(present) if isinstance(present, tuple) else 0} values",
    }
    return f"{names.get(type(present), f'a {type(present).__name__}')} like {present!r}"
