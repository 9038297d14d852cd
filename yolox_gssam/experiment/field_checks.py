"""What an exp file sets or overrides without any effect: said by name, before a run begins."""

import ast
import inspect
from collections.abc import Iterable
from itertools import takewhile

from loguru import logger

from yolox_gssam.common.errors import UserError
from yolox_gssam.engine.protocol import Experiment
from yolox_gssam.experiment.overrides import PLAIN, nearest_field

# Read where set, and not set by default.
OPTIONAL_FIELDS = frozenset({"random_size"})
# YOLOX's hooks that nothing here calls.
LOADERS = ("get_dataset", "get_data_loader", "get_eval_dataset", "get_eval_loader")
EVAL_LOADERS = LOADERS[2:]


def own_classes(exp: object, base: type) -> list[type]:
    """The classes of an experiment that stand above `base`: those of its exp file and what that imports."""
    return list(takewhile(lambda cls: cls is not base, type(exp).__mro__))


def check_fields(exp: Experiment, base: type[Experiment]) -> None:
    """Looks at what an exp file sets beyond the fields of `base`.

    A field that nothing in the file reads is misspelt where its name is near another's: refused, as on the command
    line. Further ones are told in the log: code elsewhere may read them.

    Raises:
        UserError: such a field, or one that the class body sets, where `__init__` puts its own value over it.
    """
    classes = own_classes(exp, base)
    known = base().fields()
    in_class = {
        name: value
        for cls in classes
        for name, value in vars(cls).items()
        if not name.startswith("_") and isinstance(value, PLAIN)
    }
    hidden = sorted(name for name, value in in_class.items() if name in known and vars(exp).get(name) != value)
    if hidden:
        raise UserError(
            f"{hidden[0]} stands in the body of class {type(exp).__name__}, where DroneExp's own value replaces it; "
            f"set self.{hidden[0]} in __init__, behind super().__init__()"
        )
    own = {*exp.fields(), *in_class} - set(known) - OPTIONAL_FIELDS
    unread = sorted(own - _names_read(classes)) if own else []
    faults = [f"{name!r}; {near}" for name in unread if (near := nearest_field(name, known))]
    if faults:
        raise UserError(f"the experiment has no field {' Nor a field '.join(faults)}")
    for name in unread:
        logger.warning(f"{exp.exp_name}: the experiment has no field {name!r}, and its file does not read it")


def overridden(exp: object, base: type, names: Iterable[str]) -> list[str]:
    """Which of these methods of `base` an exp file replaces."""
    return [name for name in names if any(name in vars(cls) for cls in own_classes(exp, base))]


def refuse_loaders(exp: Experiment, base: type[Experiment]) -> None:
    """Raises UserError where an exp file has loaders of its own: training would go on with other data than its."""
    names = overridden(exp, base, LOADERS)
    if names:
        raise UserError(
            f"{exp.exp_name}: overrides {', '.join(names)}, which training here does not call: it makes its batches "
            f"itself, of data_dir and train_ann; leave {'them' if len(names) > 1 else 'it'} out and convert the "
            f"data with tools/prepare_dataset.py, or override get_training_data and get_evaluator of DroneExp"
        )


def _names_read(classes: Iterable[type]) -> set[str]:
    """Attributes that the classes' files read, and texts in them, which may name one."""
    names: set[str] = set()
    for cls in classes:
        try:
            tree = ast.parse(inspect.getsource(inspect.getmodule(cls) or cls))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return names
