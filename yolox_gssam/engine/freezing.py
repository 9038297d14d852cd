"""Frozen parts of a network: neither their weights nor their statistics move while the others are trained."""

from torch import nn


def hold_frozen(model: nn.Module, norm: bool = False) -> None:
    """Puts every module whose parameters are all frozen into evaluation mode, so that its BatchNorm counts nothing.

    Args:
        norm: every BatchNorm, too.
    """
    for module in model.modules():
        if _is_frozen(module) or (norm and isinstance(module, nn.modules.batchnorm._BatchNorm)):
            module.eval()


def frozen_state(model: nn.Module, norm: bool = False) -> frozenset[str]:
    """Names in the state dict of what `hold_frozen` keeps as it is, and of frozen parameters anywhere."""
    names = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for path, module in model.named_modules():
        frozen = _is_frozen(module)
        for name, part in module.named_modules(prefix=path):
            if frozen or (norm and isinstance(part, nn.modules.batchnorm._BatchNorm)):
                names |= {f"{name}.{buffer}".removeprefix(".") for buffer, _ in part.named_buffers(recurse=False)}
    return frozenset(names)


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
