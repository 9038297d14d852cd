"""Options of attention modules that differ from one place in a network to the next."""

from collections.abc import Mapping, Sequence
from typing import Any

from yolox_gssam.common.errors import UserError


def options_of_place(options: Mapping[str, Any], index: int, places: Sequence[str]) -> dict[str, Any]:
    """The options with each tuple or list replaced by its value for place number `index`.

    Args:
        places: names of the places, of which each has a value in a tuple.

    Raises:
        UserError: a tuple that holds more or fewer values than there are places.
    """
    chosen = {}
    for key, value in options.items():
        if isinstance(value, tuple | list):
            if len(value) != len(places):
                raise UserError(
                    f"attention option {key}: {value!r} has {len(value)} values; give one value, or {len(places)}: one "
                    f"each for {', '.join(places)}"
                )
            value = value[index]
        chosen[key] = value
    return chosen
