"""INT8 by NNCF: weights and activations in 8 bit, scales measured on training images. Package `nncf` needed."""

import logging
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError

# What stays in float32, by the names of the modules and operations of InferenceYOLOX: it costs next to nothing, and it
# compares finely (the contrast), or makes the very scores and boxes. The last pattern is what `forward` itself does.
_FLOAT = (
    ".*attention.*",
    ".*window_convs.*",
    ".*cls_preds.*",
    ".*obj_preds.*",
    ".*reg_preds.*",
    "^aten::(mul|add|ge|exp|cat|embedding).*",
)


def quantize_openvino(network: Any, batches: Iterable[NDArray[np.uint8]], score_threshold: float) -> Any:
    """The openvino.Model of `backends.openvino.convert` in INT8.

    Args:
        batches: letterboxed training images (1, H, W, 3), a few hundred.
        score_threshold: as it will be used.

    Raises:
        UserError: nncf is not installed.
    """
    if find_spec("nncf") is None:
        raise UserError("--int8 needs nncf: pip install nncf")
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    samples = [(batch, np.array(score_threshold, np.float32)) for batch in batches]
    return nncf.quantize(
        network,
        nncf.Dataset(samples),
        subset_size=len(samples),
        preset=nncf.QuantizationPreset.MIXED,  # SiLU's negative side is short: activations are not symmetric
        ignored_scope=nncf.IgnoredScope(patterns=list(_FLOAT), validate=False),
    )
