"""Many runs, one after the other, of which the finished ones are kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loguru import logger

from yolox_gssam.classification.networks import NETWORKS
from yolox_gssam.classification.recipe import Recipe
from yolox_gssam.classification.training import RESULT, Training
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco import read_json
from yolox_gssam.engine import resume


def run_name(recipe: Recipe) -> str:
    """The folder of one run of the table."""
    return f"{recipe.network}-{recipe.attention}-seed{recipe.seed}"


def train_all(recipes: Sequence[Recipe], data: Path, output: Path, **options: Any) -> None:
    """Trains what is not finished, one run after the other, each in `output / run_name(recipe)`.

    A finished run, which has its result.json, is kept as it is; one that was interrupted goes on, and one whose files
    are damaged is repeated. Of a finished run only the best checkpoint stays.

    Raises:
        UserError: as `Training`; or a finished run of other settings or data is in the way.
    """
    for number, recipe in enumerate(recipes, 1):
        folder = output / run_name(recipe)
        result = result_of(folder)
        resuming = result is None and _is_resumable(folder)
        training = Training(recipe, data, folder, resuming=resuming, **options)
        if result is not None:
            _require_same(folder, result, training)
        else:
            logger.info(f"run {number} of {len(recipes)}: {folder.name}")
            if not resuming:
                _remove_checkpoints(folder)
            training.run()
        _remove_checkpoints(folder)


def result_of(folder: Path) -> dict[str, Any] | None:
    """What a finished run left; None where there is none, or none that can be read."""
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result = read_json(path)
        test = result.get("test", result["val"])
        if isinstance(test["accuracy"], float) and result["recipe"]["network"] in NETWORKS and result["history"]:
            return dict(result)
    except (UserError, KeyError, TypeError, AttributeError):
        pass
    logger.warning(f"{path}: damaged; the run does not count as finished")
    return None


def _is_resumable(folder: Path) -> bool:
    if not (folder / resume.LATEST).exists():
        return False
    try:
        resume.find_checkpoint(folder)
    except UserError:
        logger.warning(f"{folder}: no checkpoint of it is whole; the run is repeated")
        return False
    return True


def _remove_checkpoints(folder: Path) -> None:
    """All but the best."""
    for name in (resume.LATEST, resume.PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _require_same(folder: Path, result: Mapping[str, Any], training: Training) -> None:
    different = [name for name, own in training.identity.items() if result.get(name) != own]
    if different:
        raise UserError(
            f"{folder / RESULT}: a finished run with another {' and '.join(different)}; choose another --output, or "
            f"remove the folder"
        )
