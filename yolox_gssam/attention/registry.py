"""Attention modules by name, so that an exp file picks one with a word or brings its own."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from yolox_gssam.common.errors import UserError

Module = TypeVar("Module", bound=type[nn.Module])

_modules: dict[str, type[nn.Module]] = {}


def register_attention(name: str) -> Callable[[Module], Module]:
    """Decorates an nn.Module class, built as `cls(channels, **options)`, that maps (B, C, H, W) to the same shape.

    The same class may register again (exp files are imported more than once): the newest counts.

    Raises:
        UserError: another class has this name.
    """

    def register(cls: Module) -> Module:
        known = _modules.get(name, cls)
        if _full_name(known) != _full_name(cls):
            raise UserError(
                f"attention {name!r} is taken by {_full_name(known)}; register {_full_name(cls)} under another name"
            )
        _modules[name] = cls
        return cls

    return register


def attention_names() -> tuple[str, ...]:
    """The registered names, sorted."""
    return tuple(sorted(_modules))


def build_attention(name: str, channels: int, /, **options: Any) -> nn.Module:
    """The module registered as `name` for an input of `channels` channels, with its own `options`.

    Raises:
        UserError: an unknown name, an option that the module does not have, or one that it needs and did not get.
    """
    if name not in _modules:
        raise UserError(
            f"unknown attention {name!r}; known: {', '.join(attention_names())};"
            " add your own with yolox_gssam.attention.register_attention"
        )
    signature = inspect.signature(_modules[name])
    try:
        signature.bind(channels, **options)
    except TypeError as error:
        raise UserError(f"attention {name!r}: {error}; its options: {', '.join([*signature.parameters][1:])}") from None
    return _modules[name](channels, **options)


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
