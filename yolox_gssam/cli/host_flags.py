"""Flags of YOLOX's own tools that the tools here lack: accepted where they ask for nothing else than is done anyway."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HostFlag:
    """One flag of YOLOX's.

    Attributes:
        names: how it is written.
        says: what is done here, or what to use instead.
        values: how many follow it.
        accepted: the values with which it can be left out; None: any, and without one, too.
        refused: it cannot be left out, whatever its value.
    """

    names: tuple[str, ...]
    says: str
    values: int = 0
    accepted: tuple[str, ...] | None = None
    refused: bool = False


# As exps/default of YOLOX has them.
SIZES = {
    "yolox-nano": "depth 0.33 width 0.25 depthwise True",
    "yolox-tiny": "depth 0.33 width 0.375",
    "yolox-s": "depth 0.33 width 0.5",
    "yolox-m": "depth 0.67 width 0.75",
    "yolox-l": "depth 1.0 width 1.0",
    "yolox-x": "depth 1.33 width 1.25",
}
_MACHINES = "several machines are started by torchrun --nnodes N --nproc-per-node M tools/train.py"
_DISTRIBUTED = (
    HostFlag(("--dist-backend",), "NCCL is taken where each process has a CUDA device, otherwise gloo", values=1),
    HostFlag(("--dist-url",), "the processes of -d find each other", values=1, accepted=("auto", "None")),
    HostFlag(("--num_machines",), _MACHINES, values=1, accepted=("1",)),
    HostFlag(("--machine_rank",), _MACHINES, values=1, accepted=("0",)),
)
_NETWORK = HostFlag(("-n", "--name"), "the network is the one that the checkpoint was trained with", values=1)
_FUSE = HostFlag(("--fuse",), "convolutions and BatchNorm are fused anyway")
_TRT = HostFlag(("--trt",), "TensorRT is not run here; the fastest on an NVIDIA GPU is --backend compile", refused=True)
_LEGACY = HostFlag(
    ("--legacy",),
    "weights of YOLOX before 0.1.1 take pixels in another way; use the weights of a later release, or train anew",
    refused=True,
)
TRAIN_FLAGS = (
    HostFlag(
        ("-n", "--name"),
        "give an exp file instead: -f exps/origin.py, and the size as its fields, last: "
        + "; ".join(f"{name}: {size}" for name, size in SIZES.items()),
        values=1,
        refused=True,
    ),
    HostFlag(("-o", "--occupy"), "memory is taken as it is needed"),
    HostFlag(("-l", "--logger"), "the log goes to TensorBoard, history.csv and train_log.txt", values=1),
    *_DISTRIBUTED,
)
EVAL_FLAGS = (
    _NETWORK,
    _FUSE,
    _TRT,
    _LEGACY,
    HostFlag(("-d", "--devices"), "one device measures, the one of --device", values=1),
    HostFlag(("--test",), "the test split is the one measured, unless --split says another"),
    HostFlag(("--speed",), "the time per image is measured anyway"),
    HostFlag(("--seed",), "nothing measured here depends on a seed", values=1),
    HostFlag(("-expn", "--experiment-name"), "--output-dir says where the files go", values=1),
    *_DISTRIBUTED,
)
DEMO_FLAGS = (
    _NETWORK,
    _FUSE,
    HostFlag(("--save_result",), "results are always saved"),
    _TRT,
    _LEGACY,
    HostFlag(("-expn", "--experiment-name"), "--output says where the files go", values=1),
)
EXPORT_FLAGS = (
    _NETWORK,
    HostFlag(("-expn", "--experiment-name"), "--output says where the file goes", values=1),
    HostFlag(("--input",), "the input is called images", values=1, accepted=("images",)),
    HostFlag(("-o", "--opset"), "ONNX is written in opset 18", values=1),
    HostFlag(("--dynamic",), "any number of images is taken anyway, but with --layout yolox"),
    HostFlag(("--no-onnxsim",), "onnxsim is not used anyway"),
    HostFlag(("--decode_in_inference",), "leave out --layout yolox: then the boxes are decoded", refused=True),
)
