"""Table 1 of the GSSAM paper on data of one's own: networks x attentions x seeds."""

import csv
import io
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from loguru import logger

from yolox_gssam.classification.classifier_training import RESULT, Training
from yolox_gssam.classification.curves import plot_comparison
from yolox_gssam.classification.networks import NETWORKS, build_classifier
from yolox_gssam.classification.recipe import ClassifierRecipe
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_text
from yolox_gssam.common.text import printable
from yolox_gssam.data.coco_reader import read_json
from yolox_gssam.engine.run import LATEST, PREVIOUS, is_resumable
from yolox_gssam.models.operations import multiply_adds
from yolox_gssam.research.tables.markdown import deviation, github_table, mean, number
from yolox_gssam.research.tables.pool import Task

PAPER_CLASSES, PAPER_SIZE = 10, 244
PAPER_ATTENTIONS = ("none", "cbam", "gssam")
PAPER_COLUMNS = ("model", "attention", "accuracy_percent")
OWN_FIELDS = ("network", "attention", "attention_options", "seed")
"""Of a recipe; the others are the same for all runs of a table."""
HEADERS = ("network", "attention", "parameters", "GFLOPs", "accuracy, %", "spread", "seeds", "paper, %")


def run_name(recipe: ClassifierRecipe) -> str:
    """The folder of one run of the table."""
    return f"{recipe.network}-{recipe.attention}-seed{recipe.seed}"


def tasks_of(recipes: Sequence[ClassifierRecipe], data: Path, output: Path, **options: Any) -> list[Task]:
    """A run for each recipe, each in `output / run_name(recipe)`, as a pool takes them.

    A finished run, which has its result.json, is kept as it is; a damaged result is deleted.

    Args:
        options: further arguments of `Training`, plain values.

    Raises:
        UserError: as `Training`; or a finished run of other settings or data is in the way.
    """
    tasks = []
    for recipe in recipes:
        folder = output / run_name(recipe)
        result = result_of(folder)
        if result is None:
            (folder / RESULT).unlink(missing_ok=True)
        else:
            settings = Training(recipe, data, folder).settings
            different = [name for name, own in settings.items() if result.get(name) != own]
            if different:
                raise UserError(
                    f"{folder / RESULT}: a finished run with another {' and '.join(different)}; choose another "
                    f"--output, or remove the folder"
                )
        arguments = {"recipe": recipe.to_json(), "data": str(data), "folder": str(folder), **options}
        tasks.append(Task(folder.name, folder / RESULT, f"{__name__}:carry_out", arguments))
    return tasks


def carry_out(
    device: torch.device, recipe: Mapping[str, Any], data: str, folder: str, **options: Any
) -> dict[str, Any]:
    """Trains one network of `tasks_of`, in a worker.

    One that was interrupted goes on, and one whose files are damaged is repeated. In the end only the best checkpoint
    stays.

    Raises:
        UserError: as `Training`.
    """
    start = time.perf_counter()
    run = Path(folder)
    resuming = is_resumable(run)
    if not resuming:
        _remove_checkpoints(run)
    training = Training(ClassifierRecipe(**recipe), Path(data), run, device=str(device), resuming=resuming, **options)
    training.train()
    _remove_checkpoints(run)
    images = len(training.splits["train"]) * training.recipe.epochs
    return {"seconds": time.perf_counter() - start, "images": images}


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


def read_paper(path: Path) -> dict[tuple[str, str], float]:
    """(network, attention) -> accuracy in per cent, from a CSV file with the columns `PAPER_COLUMNS`.

    Raises:
        UserError: the file cannot be read, or has other columns or no numbers.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {(row["model"], row["attention"]): float(row["accuracy_percent"]) for row in csv.DictReader(stream)}
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{printable(path)}: not a table of accuracies; the columns {', '.join(PAPER_COLUMNS)} are needed, and "
            f"a number in each row"
        ) from error


def write_table(output: Path, paper: Mapping[tuple[str, str], float]) -> str:
    """Gathers every finished run in `output`: table.md, table.csv, and for each network <network>_curves.png.

    Returns the table as Markdown, beside the accuracies of `paper`, as `read_paper` gives them.

    Raises:
        UserError: no finished run, or runs that cannot be compared.
    """
    results: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(output.glob(f"*/{RESULT}")):
        result = result_of(path.parent)
        if result is not None:
            results[result["recipe"]["network"], result["recipe"]["attention"]].append(result)
    if not results:
        raise UserError(f"{output}: no finished run, no {RESULT}, is in there")
    _require_comparable(output, results)
    order = sorted(results, key=lambda pair: (NETWORKS.index(pair[0]), _rank(pair[1]), pair[1]))
    rows = [_row(*pair, results[pair], paper.get(pair)) for pair in order]
    for network in dict.fromkeys(network for network, _ in order):
        runs = {name: [run["history"] for run in results[own, name]] for own, name in order if own == network}
        plot_comparison(output / f"{network}_curves.png", runs, f"{network}, validation, mean over the seeds")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADERS, *rows])
    write_text(output / "table.csv", text.getvalue())
    markdown = github_table(rows, HEADERS)
    write_text(output / "table.md", markdown + "\n")
    return markdown


def _remove_checkpoints(folder: Path) -> None:
    """All but the best."""
    for name in (LATEST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _require_comparable(output: Path, results: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> None:
    """Raises UserError where runs differ in more than network, attention and seed."""
    kinds: set[str] = set()
    for runs in results.values():
        options = {json.dumps(run["recipe"]["attention_options"], sort_keys=True) for run in runs}
        for run in runs:
            common = {name: value for name, value in run["recipe"].items() if name not in OWN_FIELDS}
            kinds.add(json.dumps([common, run["data"], run["class_names"]], sort_keys=True))
        if len(options) > 1 or len(kinds) > 1:
            raise UserError(
                f"{output}: holds runs of different settings or data, which no table can compare; keep them in "
                f"folders of their own"
            )


def _row(network: str, attention: str, results: Sequence[dict[str, Any]], paper: float | None) -> list[str]:
    """Cells below `HEADERS`: the size is that with ten classes at 244 x 244 pixels, as in the paper, in multiply-adds;
    accuracies and their spread over the seeds are in per cent of the test images; empty for None."""
    options = results[0]["recipe"]["attention_options"]
    with torch.device("meta"):
        model = build_classifier(network, attention, PAPER_CLASSES, attention_options=options)
    parameters = sum(p.numel() for p in model.parameters())
    gflops = multiply_adds(model, (PAPER_SIZE, PAPER_SIZE)) / 1e9
    accuracies = [100 * result.get("test", result["val"])["accuracy"] for result in results]
    spread = [number(mean(accuracies)), number(deviation(accuracies)), str(len(accuracies))]
    return [network, attention, str(parameters), f"{gflops:.2f}", *spread, number(paper)]


def _rank(attention: str) -> int:
    """The paper's attentions first, in its order."""
    return PAPER_ATTENTIONS.index(attention) if attention in PAPER_ATTENTIONS else len(PAPER_ATTENTIONS)
