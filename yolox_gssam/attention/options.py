"""Options of attention modules: checks that several modules share, and values that differ from place to place."""

from collections.abc import Mapping, Sequence
from typing import Any

from yolox_gssam.common.errors import UserError


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises UserError where option `name` has a `value` that is none of its `choices`."""
    if value not in choices:
        raise UserError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def hidden_channels(channels: int, reduction: int) -> int:
    """C / reduction, rounded down.

    Raises:
        UserError: that would be none.
    """
    if not 1 <= reduction <= channels:
        raise UserError(f"reduction must be from 1 to the {channels} channels of the input, not {reduction}")
    return channels // reduction


def check_groups(groups: int, **channels: int) -> None:
    """Raises UserError where `groups` does not divide each of the named numbers of channels."""
    for name, count in channels.items():
        if groups < 1 or count % groups:
            raise UserError(f"groups must divide the {count} {name} channels, not {groups}")


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
