"""The packages; all else stands in pyproject.toml."""

from setuptools import find_packages, setup

# Exp files and networks lie beside the package in a checkout and in it in a wheel, see yolox_gssam/common/shipped.py.
SHIPPED = {"yolox_gssam.exps": "exps", "yolox_gssam.weights": "weights"}

setup(
    packages=[*find_packages(include=["yolox_gssam", "yolox_gssam.*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={
        "yolox_gssam": ["py.typed"],
        "yolox_gssam.data": ["*.npz.xz"],
        "yolox_gssam.data.cutouts": ["*.npz"],
        "yolox_gssam.watch": ["page.*"],
        "yolox_gssam.weights": ["*.onnx", "README.md"],
    },
    include_package_data=False,
)
