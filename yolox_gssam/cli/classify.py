"""Trains and measures classifiers with attention: classify.py train --data datasets/crops --network resnet50"""

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml

from yolox_gssam.classification.classifier_training import Training
from yolox_gssam.classification.data import LabelledImages
from yolox_gssam.classification.evaluation import evaluate
from yolox_gssam.classification.networks import NETWORKS, load_classifier
from yolox_gssam.classification.recipe import SCHEDULES, ClassifierRecipe
from yolox_gssam.cli.parser import PlainFormatter, add_command
from yolox_gssam.common.device import choose_device, half_dtype
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sole_writer, write_json
from yolox_gssam.common.log import setup_log
from yolox_gssam.data.split import SPLITS
from yolox_gssam.research.tables.pool import Pool
from yolox_gssam.research.tables.table1 import PAPER_ATTENTIONS, read_paper, run_name, tasks_of, write_table

RECIPE_OPTIONS = ("pretrained", "image_size", "epochs", "batch_size", "lr", "weight_decay", "schedule", "eval_interval")
"""Options that are fields of the recipe."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=PlainFormatter)
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    _add_train(commands)
    _add_eval(commands)
    _add_table(commands)
    return parser


def main(args: argparse.Namespace) -> None:
    args.run(args)


def _add_command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, run, summary, argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=name != "table", metavar="DIR", help="folder with train/, val/, test/"
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N or mps; by default the best there is")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that load images; 0: none")
    parser.add_argument("-b", "--batch-size", type=int, default=64, metavar="N", help="images per step")
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """What `train` and `table` have in common."""
    recipe = ClassifierRecipe("resnet50")
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--image-size", type=int, default=recipe.image_size, metavar="N", help="side of the input, pixels"
    )
    group.add_argument("--epochs", type=int, default=recipe.epochs, metavar="N", help="passes over the images")
    group.add_argument("--lr", type=float, default=recipe.lr, metavar="X", help="highest learning rate")
    group.add_argument("--weight-decay", type=float, default=recipe.weight_decay, metavar="X", help="of SGD")
    group.add_argument("--schedule", choices=SCHEDULES, default=recipe.schedule, help="of the learning rate")
    group.add_argument(
        "--eval-interval", type=int, default=recipe.eval_interval, metavar="N", help="validate every N epochs"
    )
    group.add_argument("--pretrained", action="store_true", help="start from torchvision's ImageNet weights")
    precision = group.add_mutually_exclusive_group()
    precision.add_argument(
        "--fp16", action="store_true", help="mixed precision: float16 on CUDA and MPS, bfloat16 on the CPU"
    )
    precision.add_argument("--bf16", action="store_true", help="mixed precision in bfloat16")
    parser.add_argument(
        "--save-every-minutes", type=float, default=10, metavar="MIN", help="how often a checkpoint is written"
    )


def _add_train(commands: Any) -> None:
    parser = _add_command(commands, "train", _train, "train one network; the best validation model is tested once")
    parser.add_argument("--network", choices=NETWORKS, required=True, help="of Table 1")
    parser.add_argument("--attention", default="none", metavar="NAME", help="none, cbam, gssam or another one")
    parser.add_argument(
        "--options", type=_options, metavar="YAML", help="of the attention, such as '{pool_size: [8, 8, 4, 2, 1]}'"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, order and augmentation")
    parser.add_argument("--output", type=Path, default=Path("runs/classify"), metavar="DIR", help="folder of the runs")
    parser.add_argument("--name", help="of the run's folder (default: network, attention and seed)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    _add_recipe(parser)


def _train(args: argparse.Namespace) -> None:
    recipe = _recipe(args, args.network, args.attention, args.seed, args.options)
    folder = args.output / (args.name or run_name(recipe))
    training = Training(
        recipe,
        args.data,
        folder,
        device=args.device,
        resuming=args.resume,
        workers=args.workers,
        save_every_minutes=args.save_every_minutes,
    )
    with sole_writer(folder):
        training.train()
    print(folder)


def _add_eval(commands: Any) -> None:
    parser = _add_command(commands, "eval", _eval, "measure a trained network")
    parser.add_argument("-c", "--ckpt", type=Path, required=True, metavar="FILE", help="such as .../best_ckpt.pth")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of the data")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the numbers there, as JSON")


def _eval(args: argparse.Namespace) -> None:
    device = choose_device(args.device)
    model, info = load_classifier(args.ckpt, device)
    images = LabelledImages(args.data, args.split, info["image_size"])
    if images.class_names != info["class_names"]:
        raise UserError(
            f"{args.data / args.split}: has the classes {', '.join(images.class_names)}, the network knows "
            f"{', '.join(info['class_names'])}"
        )
    accuracy = evaluate(model, images, args.batch_size, args.workers, device)
    print(accuracy)
    if args.output is not None:
        write_json(args.output, accuracy.to_json())


def _add_table(commands: Any) -> None:
    parser = _add_command(
        commands, "table", _table, "train networks x attentions x seeds as far as they are not yet, and print Table 1"
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME", help="rows")
    parser.add_argument(
        "--attentions", nargs="+", default=list(PAPER_ATTENTIONS), metavar="NAME", help="of each network"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="of each of these")
    parser.add_argument("--output", type=Path, default=Path("runs/table1"), metavar="DIR", help="folder of the runs")
    parser.add_argument(
        "--paper", type=Path, metavar="FILE", help="CSV with columns model, attention, accuracy_percent to stand beside"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="K", help="runs at once; on a CPU they share the cores")
    _add_recipe(parser)


def _table(args: argparse.Namespace) -> None:
    """Seed after seed, so that an unfinished table holds whole rounds."""
    paper = {} if args.paper is None else read_paper(args.paper)
    if args.data is not None:  # without it, the table of what is finished
        recipes = [
            _recipe(args, network, attention, seed)
            for seed in args.seeds
            for network in args.networks
            for attention in args.attentions
        ]
        setup_log()
        tasks = tasks_of(
            recipes, args.data, args.output, workers=args.workers, save_every_minutes=args.save_every_minutes
        )
        with sole_writer(args.output):
            pool = Pool(args.output, str(choose_device(args.device)), args.jobs)
            pool.run(tasks)
            pool.require_no_faults()
    print(write_table(args.output, paper))


def _recipe(args: argparse.Namespace, network: str, attention: str, seed: int, options: Any = None) -> ClassifierRecipe:
    precision: torch.dtype = torch.float32
    if args.fp16 or args.bf16:
        precision = torch.bfloat16 if args.bf16 else half_dtype(choose_device(args.device))
    return ClassifierRecipe(
        network,
        attention,
        attention_options=options,
        precision=str(precision).removeprefix("torch."),
        seed=seed,
        **{name: getattr(args, name) for name in RECIPE_OPTIONS},
    )


def _options(text: str) -> dict[str, Any]:
    """A mapping of option names to values, for argparse."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError("must be YAML, such as '{num_convs: 3}'") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a mapping, such as '{num_convs: 3}'")
    return value
