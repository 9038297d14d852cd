"""Installs the package. yolox itself is not among the requirements: its registry release pins onnx and onnxruntime
versions that no longer exist. `make install` or README.md tell how to get it."""

from setuptools import find_packages, setup

FAST = ["onnx>=1.17", "onnxruntime>=1.20", "openvino>=2025.0", "hotcoco>=1.3"]
# From 1.5.6 on it brings opencv-python-headless, which overwrites OpenCV's windows (tools/demo.py --show).
PICTURES = ["grad-cam>=1.5.4,<1.5.6"]

# What tells of alarms and shows them, for tools/watch.py.
WATCH = ["starlette>=0.40", "uvicorn>=0.30", "paho-mqtt>=2.0"]

setup(
    name="yolox-gssam",
    version="0.1.0",
    description="YOLOX with global-sampling spatial attention, for small drones in images and video",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["yolox_gssam", "yolox_gssam.*"]),
    package_data={"yolox_gssam.data": ["*.npz.xz"], "yolox_gssam.watch": ["page.*"]},
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "numpy>=2.0",
        "scipy>=1.11",
        "opencv-python>=4.10",
        "pycocotools>=2.0.8",
        "loguru>=0.7",
        "thop>=0.1.1",
        "tqdm>=4.66",
        "tabulate>=0.9",
        "tensorboard>=2.17",
        "matplotlib>=3.9",
        "Pillow>=10.1",
        "PyYAML>=6.0",
        "defusedxml>=0.7",
        "filelock>=3.13",
        # Reads the labels of the Svanström clips; older releases, the only ones for Python 3.10, cannot.
        "mat-io>=1.0; python_version >= '3.11'",
    ],
    extras_require={
        # What runs exported networks, the fastest on a CPU; and what evaluates in a thirtieth of pycocotools' time.
        "fast": FAST,
        "int8": [*FAST, "nncf>=2.15"],
        # Grad-CAM, for tools/visualize.py.
        "pictures": PICTURES,
        "watch": WATCH,
        "dev": [
            *FAST,
            *PICTURES,
            *WATCH,
            # A broker and a client for the tests of watching.
            "amqtt>=0.11",
            "httpx2",
            "nncf>=2.15",
            "hypothesis>=6.100",
            "mypy>=1.10",
            "pytest>=8.0",
            "pytest-xdist>=3.7",
            "ruff>=0.6",
            "types-tabulate",
            "types-PyYAML",
            "types-defusedxml",
        ],
    },
)
