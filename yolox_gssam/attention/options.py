"""Checks of options that several modules have."""

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
