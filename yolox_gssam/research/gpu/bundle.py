"""What a machine without network lacks, in one folder: packages, a data set in few bytes, weights to start from."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path, sha256_of, write_json

PYTHON = "3.12"
WHEELS = ("pycocotools", "loguru", "thop", "defusedxml", "hotcoco")
"""Of what the package imports, what is seldom installed beside torch."""
SOURCES = ("yolox==0.3.0",)
"""Taken as source: pure Python, and its build would need torch."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
NEEDED = {
    "torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "cv2": "opencv-python-headless", "tqdm": "tqdm",
    "tabulate": "tabulate", "filelock": "filelock", "matplotlib": "matplotlib", "tensorboard": "tensorboard",
    "PIL": "Pillow", "yaml": "PyYAML", "yolox": "yolox", "pycocotools": "pycocotools", "loguru": "loguru",
    "thop": "thop", "defusedxml": "defusedxml", "psutil": "psutil",
}  # fmt: skip
"""Module that is imported -> the package that brings it."""
MANIFEST, DATA, WEIGHTS, PACKAGES = "manifest.json", "data.zip", "weights.pth", "packages"
MEGABYTE = 2**20


def make_bundle(dataset: Path, checkpoint: Path, out: Path, quality: int, limit_mb: float) -> dict[str, Any]:
    """Writes the bundle into the new folder `out` and returns its manifest.

    Args:
        dataset: as tools/prepare_dataset.py makes it, with or without folds.
        checkpoint: weights to start from.
        quality: of the JPEG files, 1 to 100.
        limit_mb: most that the bundle may take, in MiB.

    Raises:
        UserError: no such data set, a package that cannot be fetched, or a bundle over the limit.
    """
    if not (dataset / "dataset.json").is_file():
        raise UserError(f"{dataset}: no data set with a dataset.json; make one with tools/prepare_dataset.py")
    if out.exists():
        raise UserError(f"{out}: is there already; remove it or choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        folder = Path(name) / "bundle"
        (folder / PACKAGES).mkdir(parents=True)
        _fetch_packages(folder / PACKAGES)
        pack_dataset(dataset, folder / DATA, quality)
        shutil.copyfile(checkpoint, folder / WEIGHTS)
        files = {str(f.relative_to(folder)): sha256_of(f) for f in sorted(folder.rglob("*")) if f.is_file()}
        sizes = {name: (folder / name).stat().st_size for name in files}
        manifest = {
            "python": PYTHON, "data": dataset.name, "quality": quality, "weights": checkpoint.name,
            "files": files, "bytes": sizes,
        }  # fmt: skip
        write_json(folder / MANIFEST, manifest)
        total = sum(sizes.values()) / MEGABYTE
        if total > limit_mb:
            data = sizes[DATA] / MEGABYTE
            raise UserError(
                f"{out}: takes {total:.1f} MiB, {data:.1f} of them images, over the limit of {limit_mb:g}; use a lower "
                f"--quality, or a data set with a larger --stride"
            )
        folder.rename(out)
    return manifest


def pack_dataset(dataset: Path, path: Path, quality: int) -> None:
    """A data set as one file: images as JPEG of this quality, grey where they are, at their places; annotations packed.

    Raises:
        UserError: an image cannot be read.
    """
    import cv2  # not where a bundle is only unpacked

    from yolox_gssam.common.images import read_image

    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        for file in [*sorted((dataset / "annotations").rglob("*.json")), dataset / "dataset.json"]:
            content = json.dumps(json.loads(file.read_bytes()), separators=(",", ":"))
            archive.writestr(str(file.relative_to(dataset)), content, zipfile.ZIP_DEFLATED)
        for file in sorted((dataset / "images").rglob("*")):
            if not file.is_file():
                continue
            image = read_image(file)
            is_grey = bool((image[..., :1] == image[..., 1:]).all())
            options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
            done, encoded = cv2.imencode(".jpg", image[..., 0] if is_grey else image, options)
            if not done:
                raise UserError(f"{file}: cannot be written as JPEG")
            archive.writestr(str(file.relative_to(dataset)), encoded.tobytes())


def unpack_dataset(bundle: Path, folder: Path) -> Path:
    """The data set of a bundle, unpacked below `folder` unless it is there; returns where it lies."""
    target = folder / json.loads((bundle / MANIFEST).read_bytes())["data"]
    if (target / "dataset.json").is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        with zipfile.ZipFile(bundle / DATA) as archive:
            archive.extractall(name)
        shutil.copytree(name, target)
    return target


def check_bundle(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle whose files are all there and whole.

    Raises:
        UserError: it is no bundle, or one is missing or damaged.
    """
    try:
        manifest: dict[str, Any] = json.loads((bundle / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{bundle}: no bundle ({error}); make one with make gpu-bundle and bring it along") from error
    for name, digest in manifest["files"].items():
        if not (bundle / name).is_file():
            raise UserError(f"{bundle / name}: missing from the bundle; bring the whole folder along")
        if sha256_of(bundle / name) != digest:
            raise UserError(f"{bundle / name}: damaged on its way; bring the bundle along again")
    return manifest


def missing_modules(needed: Mapping[str, str] = NEEDED) -> list[str]:
    """The packages whose modules cannot be found here."""
    return [package for module, package in needed.items() if importlib.util.find_spec(module) is None]


def install(bundle: Path, site: Path) -> float:
    """Makes what the bundle brings importable from `site`, without network; returns the seconds it took.

    Nothing is installed where nothing is missing.

    Raises:
        UserError: pip fails, or a package is missing that the bundle does not bring.
    """
    start = time.monotonic()
    if not missing_modules():
        return 0.0
    site.mkdir(parents=True, exist_ok=True)
    packages = sorted((bundle / PACKAGES).iterdir())
    wheels = [str(path) for path in packages if path.suffix == ".whl"]
    _pip(
        "install",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--no-cache-dir",
        "--upgrade",
        "--target",
        str(site),
        *wheels,
    )
    for path in packages:
        if path.name.endswith(".tar.gz"):
            _unpack_source(path, site)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    missing = missing_modules()
    if missing:
        raise UserError(f"{bundle}: neither here nor in the bundle: {', '.join(missing)}; add them to its packages")
    return time.monotonic() - start


def _fetch_packages(folder: Path) -> None:
    platforms = [item for platform in PLATFORMS for item in ("--platform", platform)]
    _pip("download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp",
         *platforms, "-d", str(folder), *WHEELS)  # fmt: skip
    _pip("download", "-q", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "-d", str(folder), *SOURCES)


def _unpack_source(path: Path, site: Path) -> None:
    """The package in a source archive, without building anything."""
    name = path.name.partition("-")[0]
    with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
        source = next(Path(folder).glob(f"*/{name}"), None)
        if source is None:
            raise UserError(f"{path}: holds no folder {name}")
        shutil.copytree(source, site / name, dirs_exist_ok=True)
        # By which others find out the version.
        about = site / f"{path.name.removesuffix('.tar.gz')}.dist-info"
        about.mkdir(exist_ok=True)
        shutil.copyfile(source.parent / "PKG-INFO", about / "METADATA")


def _pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines: Sequence[str] = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"pip {arguments[0]} failed: {lines[-1]}")
