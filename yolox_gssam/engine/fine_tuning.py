"""Fine-tuning: a start from other weights, and parts of the network that are frozen, weights and statistics both."""

from loguru import logger
from torch import nn

from yolox_gssam.common.checkpoint import load_checkpoint, load_weights
from yolox_gssam.common.errors import UserError

LEAST_SHARE = 0.5
"""Of a network's tensors, that must fit: with fewer it is a start from scratch."""


def load_start(model: nn.Module, checkpoint: str, force: bool) -> None:
    """Copies the weights of a checkpoint that fit into a network, and says in the log which did not.

    Args:
        force: even where few fit.

    Raises:
        UserError: no checkpoint, or fewer than `LEAST_SHARE` fit.
    """
    loaded = load_weights(model, load_checkpoint(checkpoint)["model"])
    if loaded.share < LEAST_SHARE and not force:
        raise UserError(
            f"{checkpoint}: {len(loaded.fitting)} of this network's {len(model.state_dict())} tensors fit, less than "
            f"half: {loaded}; give the depth, width and attention that it was trained with, or add --force"
        )
    logger.info(f"fine-tuning {checkpoint}: {'every weight loaded' if loaded.complete else loaded}")


def hold_frozen(model: nn.Module, norm: bool = False) -> None:
    """Puts modules whose parameters are all frozen, with `norm` each BatchNorm, in evaluation mode: none counts on."""
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
