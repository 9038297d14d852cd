"""The variants of a comparison, as the command line names them."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from yolox.models import YOLOX

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import from_here
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES
from yolox_gssam.experiment import DroneExp, load_exp
from yolox_gssam.experiment.loading import load_trained
from yolox_gssam.experiment.overrides import TRUTH

STOCK = "stock"
"""What stands in the place of an exp file for YOLOX itself."""


@dataclass(frozen=True)
class VariantSpec:
    """One variant, not built yet.

    Attributes:
        exp_file: an exp file, or "stock".
        settings: what is no field of an experiment: ckpt, backend and so on.
        options: fields of the experiment, (name, value, name, value, ...).
    """

    name: str
    exp_file: str
    settings: Mapping[str, str]
    options: tuple[str, ...]

    @property
    def is_stock(self) -> bool:
        return self.exp_file == STOCK

    def is_on(self, setting: str) -> bool:
        """Whether a setting that is True or False is True; False where it is not given.

        Raises:
            UserError: it is neither.
        """
        text = self.settings.get(setting, "False")
        if text.lower() not in TRUTH:
            raise UserError(f"variant {self.name}: {setting} must be True or False, not {text!r}")
        return TRUTH[text.lower()]

    def __str__(self) -> str:
        """As it could be given."""
        pairs = [*self.settings.items(), *zip(self.options[::2], self.options[1::2], strict=True)]
        return ",".join((from_here(self.exp_file), *(f"{name}={value}" for name, value in pairs)))


def parse_variants(texts: Sequence[str], options: Sequence[str], settings: Collection[str]) -> list[VariantSpec]:
    """Variants from texts of the form [NAME=]EXP[,SETTING=VALUE ...]; EXP is an exp file or "stock".

    Without a name a variant is called after its exp file. A value may hold commas: what comes before the next SETTING=
    belongs to it.

    Args:
        options: fields of the experiment that all variants get first, (name, value, name, value, ...).
        settings: what a variant may set besides fields of its experiment.

    Raises:
        UserError: a text of another form, an odd number of options, or two variants of one name.

    >>> (variant,) = parse_variants(["nano=exps/origin.py,width=0.25,input_size=416,416,ckpt=a.pth"], [], ["ckpt"])
    >>> variant.name, variant.exp_file, variant.settings, variant.options
    ('nano', 'exps/origin.py', {'ckpt': 'a.pth'}, ('width', '0.25', 'input_size', '416,416'))
    """
    if len(options) % 2:
        raise UserError(f"overrides come in pairs of a name and a value; {options[-1]!r} has no value")
    variants = [_parse_variant(text, options, settings) for text in texts]
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two variants are called {name}; give each its own name: --variant NAME=EXP")
    return variants


def load_variant(variant: VariantSpec, device: torch.device, seed: int) -> tuple[DroneExp, YOLOX]:
    """The variant's experiment and network, in evaluation mode on the device; stock YOLOX is that without attention.

    Without a checkpoint the weights are those of `seed`; without its data set the classes are those of the drawn set.

    Raises:
        UserError: no such exp file or checkpoint, or one that does not fit.
    """
    checkpoint = variant.settings.get("ckpt")
    if checkpoint is not None:
        exp_file = None if variant.is_stock else variant.exp_file
        exp, model = load_trained(exp_file, checkpoint, variant.options, device)
        if variant.is_stock and exp.attention != "none":
            raise UserError(f"variant {variant.name}: {checkpoint} has attention, which stock YOLOX has not")
        return exp, model
    if variant.is_stock:
        exp = DroneExp()
        exp.merge(variant.options)
    else:
        exp = load_exp(variant.exp_file, variant.options)
    if exp.fields()["num_classes"] is not None:
        exp.class_names = tuple(f"class {number}" for number in range(exp.num_classes))
    elif not Path(exp.data_dir).is_dir():
        exp.class_names = SYNTHETIC_CLASSES
    torch.manual_seed(seed)
    return exp, exp.get_model().to(device).eval()


def _parse_variant(text: str, options: Sequence[str], settings: Collection[str]) -> VariantSpec:
    head, *pairs = re.split(r",(?=[A-Za-z_]\w*=)", text)
    name, mark, exp_file = head.rpartition("=")
    if not exp_file or (mark and not name):
        raise UserError(f"--variant {text}: must be [NAME=]EXP[,SETTING=VALUE ...], EXP an exp file or {STOCK}")
    values = dict(pair.split("=", 1) for pair in pairs)
    fields = [item for key, value in values.items() if key not in settings for item in (key, value)]
    return VariantSpec(
        name=name or Path(exp_file).stem,
        exp_file=exp_file,
        settings={key: value for key, value in values.items() if key in settings},
        options=(*options, *fields),
    )
