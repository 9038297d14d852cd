"""Train, val and test: whole groups (clips) in each split, each class spread over all of them."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yolox_gssam.common.errors import UserError

SPLITS = ("train", "val", "test")
"""The splits of every data set, in this order."""
SPLIT_NAMES = {
    "train": {"train", "training"},
    "val": {"val", "valid", "validation"},
    "test": {"test"},
}
"""What files and folders of a split are called, in lower case."""


@dataclass
class Group:
    """What the split must know of a group: how many images, and how many objects of each label.

    Attributes:
        stratum: groups of one stratum, as of one camera, are spread over all splits by themselves.
    """

    images: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    stratum: str = ""


def split_groups(groups: Mapping[str, Group], shares: Sequence[float], seed: int) -> dict[str, str]:
    """The split of each group, deterministic from the names, the contents and the seed, whatever their order.

    The groups are laid in a row, class by class (a group belongs to its rarest class) and in random order within a
    class; each in turn goes to the split that lags furthest behind its share of the images so far. So at every point
    of the row no split is further from its share than the largest group so far, and no class further than twice that.
    Only where a split would stay empty does it get a small group of another split.

    Raises:
        UserError: shares that are no shares, or fewer groups than splits to fill.
    """
    total_share = sum(shares)
    if len(shares) != len(SPLITS) or min(shares) < 0 or not 0 < total_share < float("inf"):
        raise UserError(f"the shares of {', '.join(SPLITS)} must be three numbers from 0, not {list(shares)}")
    wanted = [index for index, share in enumerate(shares) if share > 0]
    if len(groups) < len(wanted):
        raise UserError(
            f"{len(groups)} group(s) cannot fill {len(wanted)} splits; make more groups or set a share to 0"
        )
    splits = _deal(groups, shares, seed)
    _fill_empty_splits(splits, wanted, groups)
    return {name: SPLITS[index] for name, index in splits.items()}


def split_folds(groups: Mapping[str, Group], folds: int, seed: int) -> list[dict[str, str]]:
    """The split of each group in each of so many folds: every group is in the test split of one of them.

    The groups are dealt as in `split_groups`, into as many equal sets as there are folds, each the test split once; of
    the rest half as many images again validate, dealt likewise, and the others train.

    Raises:
        UserError: fewer than two folds, or too few groups.
    """
    if folds < 2:
        raise UserError(f"--folds must be at least 2, not {folds}")
    if len(groups) < 2 * folds:
        raise UserError(
            f"{len(groups)} group(s) are too few for {folds} folds; {2 * folds} are needed, or fewer --folds"
        )
    fold_of = _deal(groups, [1.0] * folds, seed)
    test_share = 1 / folds
    validation_share = test_share / 2 / (1 - test_share)
    result = []
    for fold in range(folds):
        rest = {name: group for name, group in groups.items() if fold_of[name] != fold}
        validates = _deal(rest, [1 - validation_share, validation_share], seed)
        _fill_empty_splits(validates, [0, 1], rest)
        splits = {name: SPLITS[index] for name, index in validates.items()}
        result.append({name: splits.get(name, "test") for name in groups})
    return result


def _deal(groups: Mapping[str, Group], shares: Sequence[float], seed: int) -> dict[str, int]:
    """The number of each group's split: each group in turn goes to the split that lags furthest behind its share."""
    splits: dict[str, int] = {}
    images, total_share, seen = [0] * len(shares), sum(shares), 0
    wanted = [index for index, share in enumerate(shares) if share > 0]
    for name in _in_a_row(groups, seed):
        seen += groups[name].images
        lags = [share / total_share * seen - count for share, count in zip(shares, images, strict=True)]
        splits[name] = max(wanted, key=lags.__getitem__)
        images[splits[name]] += groups[name].images
    return splits


def _in_a_row(groups: Mapping[str, Group], seed: int) -> list[str]:
    """Names of the groups, stratum after stratum, class after class, at random within a class."""
    objects: Counter[int] = sum((group.labels for group in groups.values()), Counter())

    def place(name: str) -> tuple[str, int, int, str]:
        labels = groups[name].labels
        rarest = min(labels, key=lambda label: (objects[label], label), default=-1)
        return groups[name].stratum, objects[rarest], rarest, hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()

    return sorted(groups, key=place)


def _fill_empty_splits(splits: dict[str, int], wanted: Sequence[int], groups: Mapping[str, Group]) -> None:
    """Gives each empty split the smallest group of the split with the most groups."""
    for empty in wanted:
        counts = Counter(splits.values())
        if counts[empty] == 0:
            richest = max(wanted, key=counts.__getitem__)
            smallest = min((groups[name].images, name) for name, split in splits.items() if split == richest)[1]
            splits[smallest] = empty
