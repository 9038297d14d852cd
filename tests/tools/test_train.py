"""tools/train.py, run as a user runs it."""

import math
from pathlib import Path

import pytest
import torch
from conftest import EPOCHS, ROOT, RunTool, fields, read_history
from warm_python import WarmPython

from yolox_gssam.common.files import sole_writer
from yolox_gssam.engine.run import seed_everything
from yolox_gssam.experiment import load_exp


@pytest.fixture(scope="module")
def finished(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory, run_tool: RunTool) -> Path:
    """The folder of a run of three epochs."""
    output = tmp_path_factory.mktemp("runs")
    result = run_tool("train", "-f", "exps/gssam_sig_res_p1.py", "-b", 4, "--seed", 1, *fields(tiny_dataset, output))
    assert result.returncode == 0, result.stderr
    assert "img/s" in result.stderr
    assert "epoch 3/3" in result.stderr
    return output / "gssam_sig_res_p1"


def test_a_run_leaves_its_files(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    checkpoints = {"best_ckpt.pth", "latest_ckpt.pth", "previous_ckpt.pth"}
    assert names == checkpoints | {"history.csv", "curves.png", "train_log.txt", "tensorboard", ".lock"}
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((finished / "tensorboard").iterdir())
    rows = read_history(finished)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert all(0 < float(row["data_share"]) < 1 for row in rows)
    # The L1 loss is on in the epoch without mosaic only.
    assert [float(row["l1_loss"]) > 0 for row in rows] == [False, False, True]


def test_checkpoints_are_plain_and_say_what_they_hold(finished: Path) -> None:
    for name in ("latest_ckpt.pth", "best_ckpt.pth"):
        state = torch.load(finished / name, weights_only=True)
        assert {"model", "optimizer", "start_epoch", "best_ap", "class_names", "exp"} <= set(state)
        assert state["class_names"] == ["bird", "drone"]
        assert (state["exp"]["num_classes"], state["exp"]["width"], state["exp"]["exp_name"]) == (
            2,
            0.125,
            "gssam_sig_res_p1",
        )
    assert torch.load(finished / "latest_ckpt.pth", weights_only=True)["start_epoch"] == EPOCHS


def test_resumed_run_ends_where_the_whole_run_ends(
    finished: Path, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool, warm_python: WarmPython
) -> None:
    """Stopped after epoch 1 by a field that only says when to stop, then resumed: bit for bit the same weights."""
    common = ["-f", "exps/gssam_sig_res_p1.py", "-b", 4, "--seed", 1]
    stopped = tmp_path / "stop.py"
    stopped.write_text(
        "import sys\n"
        "from yolox_gssam.engine.trainer import Trainer\n"
        "after_epoch = Trainer.after_epoch\n"
        "def stop(self):\n"
        "    after_epoch(self)\n"
        "    sys.exit(9)\n"
        "Trainer.after_epoch = stop\n"
        "sys.path.insert(0, 'tools')\n"
        "import train\n"
        "train.main(train.make_parser().parse_args())\n"
    )
    arguments = [*map(str, common), *fields(tiny_dataset, tmp_path)]
    first = warm_python.run([stopped, *arguments], ROOT)
    assert first.returncode == 9, first.stderr
    second = run_tool("train", *common, "--resume", *fields(tiny_dataset, tmp_path))
    assert second.returncode == 0, second.stderr
    assert "after epoch 1" in second.stderr
    resumed = tmp_path / "gssam_sig_res_p1"
    one, two = (torch.load(run / "latest_ckpt.pth", weights_only=True) for run in (finished, resumed))
    for name, value in one["model"].items():
        assert torch.equal(value, two["model"][name]), name
    whole, parts = read_history(finished), read_history(resumed)
    for row in (*whole, *parts):
        del row["images_per_second"], row["data_share"]
    assert whole == parts


def test_fine_tuning_reports_the_attention_as_new(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = fields(tiny_dataset, tmp_path, max_epoch=1, no_aug_epochs=0)
    assert run_tool("train", "-f", "exps/origin.py", "-b", 4, *options).returncode == 0
    stock = tmp_path / "origin" / "best_ckpt.pth"
    result = run_tool("train", "-f", "exps/conv_p1.py", "-b", 4, "-c", stock, *options)
    assert result.returncode == 0, result.stderr
    assert "new (not in the checkpoint): backbone.backbone.attention" in result.stderr


OWN_HOOKS_EXP = """
import torch
from yolox_gssam.experiment import DroneExp

class Constant:
    def update_lr(self, iters):
        return 0.00123

class Exp(DroneExp):
    def get_lr_scheduler(self, lr, iters_per_epoch):
        return Constant()

    def get_optimizer(self, batch_size):
        return torch.optim.SGD(self.get_model().parameters(), lr=0.1, momentum=0.77)

    def get_evaluator(self, *args, **kwargs):
        return []
"""


def test_weights_of_another_network_are_refused(
    finished: Path, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    """Names with a prefix of DistributedDataParallel or torch.compile are those of the network."""
    state = torch.load(finished / "best_ckpt.pth", weights_only=True)
    for prefix in ("module.", "other."):
        torch.save({"model": {prefix + k: v for k, v in state["model"].items()}}, tmp_path / f"{prefix}pth")
    command = ["train", "-f", "exps/gssam_sig_res_p1.py", "-b", 4]
    options = fields(tiny_dataset, tmp_path / "runs", max_epoch=1, no_aug_epochs=0, warmup_epochs=0)
    result = run_tool(*command, "-c", tmp_path / "module.pth", *options)
    assert result.returncode == 0, result.stderr
    assert "module.pth: every weight loaded" in result.stderr
    result = run_tool(*command, "-c", tmp_path / "other.pth", *options)
    assert result.returncode == 1
    assert f"other.pth: 0 of this network's {len(state['model'])} tensors fit" in result.stderr
    result = run_tool(*command, "-c", tmp_path / "other.pth", "--force", *options)
    assert result.returncode == 0, result.stderr


FREEZING_EXP = """
from yolox.utils import freeze_module
from yolox_gssam.experiment import DroneExp

class Exp(DroneExp):
    def get_model(self):
        model = super().get_model()
        freeze_module(model.backbone.backbone)
        return model
"""


@pytest.mark.parametrize("ema", [True, False])
def test_a_frozen_backbone_stays_as_it_was(ema: bool, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    """Through epochs, validations and a resume: weights and BatchNorm's statistics to the bit."""
    exp_file = tmp_path / "freezing.py"
    exp_file.write_text(FREEZING_EXP)
    options = fields(tiny_dataset, tmp_path, ema=ema, max_epoch=1, no_aug_epochs=0, warmup_epochs=0)
    seed_everything(1)
    before = load_exp(exp_file, options).get_model().state_dict()
    command = ["train", "-f", exp_file, "-b", 4, "--seed", 1]
    for more in ([], ["--resume", "--force"]):
        result = run_tool(*command, *more, *options, *(["max_epoch", 2] if more else []))
        assert result.returncode == 0, result.stderr
    state = torch.load(tmp_path / "freezing" / "latest_ckpt.pth", weights_only=True)
    assert state["start_epoch"] == 2
    moved = set()
    for weights in (state["model"], state["training"]["model"]):
        moved |= {name for name, value in weights.items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in moved} == {"backbone", "head"}
    assert not [name for name in moved if name.startswith("backbone.backbone.")]


def test_the_schedule_and_the_optimizer_of_an_exp_file_are_used(
    tiny_dataset: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    exp_file = tmp_path / "own.py"
    exp_file.write_text(OWN_HOOKS_EXP)
    options = fields(tiny_dataset, tmp_path, max_epoch=1, no_aug_epochs=0, warmup_epochs=0)
    result = run_tool("train", "-f", exp_file, "-b", 4, *options)
    assert result.returncode == 1
    assert "own: get_evaluator gives a list; give a DroneEvaluator" in result.stderr
    exp_file.write_text(OWN_HOOKS_EXP.partition("    def get_evaluator")[0])
    result = run_tool("train", "-f", exp_file, "-b", 4, *options)
    assert result.returncode == 0, result.stderr
    assert [float(row["lr"]) for row in read_history(tmp_path / "own")] == [pytest.approx(0.00123)]
    state = torch.load(tmp_path / "own" / "latest_ckpt.pth", weights_only=True)
    assert state["optimizer"]["param_groups"][0]["momentum"] == 0.77


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        pytest.param(["--fp16"], "", id="fp16"),
        pytest.param(["--bf16", "--cache"], "12 decoded images on cpu: 0.00 GiB of", id="bf16 and cache"),
        pytest.param(["--device", "cpu", "--cache", "gpu"], "12 decoded images on cpu: 0.00 GiB of", id="cache gpu"),
    ],
)
def test_flags(flags: list[str], said: str, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = fields(tiny_dataset, tmp_path, max_epoch=1, no_aug_epochs=0)
    result = run_tool("train", "-f", "exps/gssam_std_p2.py", "-b", 4, *flags, *options)
    assert result.returncode == 0, result.stderr
    assert said in result.stderr


def test_early_stopping(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    """With a learning rate of nothing the AP cannot rise after the first epoch."""
    options = fields(tiny_dataset, tmp_path, max_epoch=9, patience=2, basic_lr_per_img=0.0)
    result = run_tool("train", "-f", "exps/origin.py", "-b", 4, *options)
    assert result.returncode == 0, result.stderr
    assert "stopping early" in result.stderr
    assert len(read_history(tmp_path / "origin")) == 3


def test_two_processes(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = fields(tiny_dataset, tmp_path, max_epoch=2)
    result = run_tool("train", "-f", "exps/gssam_sig_p2.py", "-d", 2, "--device", "cpu", "-b", 4, *options)
    assert result.returncode == 0, result.stderr
    assert len(read_history(tmp_path / "gssam_sig_p2")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["-f", "exps/none.py"], "exps/none.py: no such exp file", id="exp file"),
        pytest.param(["-f", "exps/origin.py", "max_epohc", "3"], "did you mean 'max_epoch'", id="field"),
        pytest.param(["-f", "exps/origin.py", "ema", "perhaps"], "ema must be True or False", id="truth"),
        pytest.param(["-f", "exps/origin.py", "data_dir", "none"], "none: no such data set", id="data set"),
        pytest.param(["-f", "exps/origin.py", "--device", "abacus"], "device 'abacus'", id="device"),
        pytest.param(["-f", "exps/origin.py", "--device", "cuda:9"], "device 'cuda:9': this machine has", id="no gpu"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, run_tool: RunTool, tmp_path: Path) -> None:
    result = run_tool("train", *arguments, *([] if "data_dir" in arguments else ["output_dir", tmp_path]))
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["-b", 7, "-d", 2], "-b 7: the images of each step are shared by 2 processes", id="odd"),
        pytest.param(["-b", 0], "must be at least 1, not 0", id="none"),
        pytest.param(["-b", -1], "must be at least 1, not -1", id="negative"),
        pytest.param(["-b", 2, "-d", 0], "must be at least 1, not 0", id="no process"),
    ],
)
def test_batches_that_cannot_be_are_one_line(
    arguments: list[object], message: str, tmp_path: Path, run_tool: RunTool
) -> None:
    result = run_tool("train", "-f", "exps/origin.py", *arguments, "output_dir", tmp_path)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_resume_without_a_run_is_one_line(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    result = run_tool("train", "-f", "exps/origin.py", "-b", 4, "--resume", *fields(tiny_dataset, tmp_path))
    assert result.returncode == 1
    assert "latest_ckpt.pth: no such checkpoint" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_another_run_writes_to_is_one_line(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    with sole_writer(tmp_path / "mine"):
        result = run_tool("train", "-f", "exps/origin.py", "-expn", "mine", *fields(tiny_dataset, tmp_path))
    assert result.returncode == 1
    assert f"train.py: error: {tmp_path / 'mine'}: another run is writing there" in result.stderr
    assert not list(tmp_path.glob("mine/*.pth"))


def test_yolox_own_tool_trains_the_exp_file(tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython) -> None:
    options = fields(tiny_dataset, tmp_path, max_epoch=1, no_aug_epochs=0)
    command = ["-m", "yolox.tools.train", "-f", "exps/gssam_sig_res_p1.py", "-b", "4", *options]
    result = warm_python.run(command, ROOT)
    assert result.returncode == 0, result.stderr
    assert len(read_history(tmp_path / "gssam_sig_res_p1")) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = fields(tiny_dataset, tmp_path, max_epoch=1, no_aug_epochs=0)
    result = run_tool("train", "-f", "exps/gssam_sig_res_p1.py", "-b", 4, "--device", "cuda", "--fp16", *options)
    assert result.returncode == 0, result.stderr
    assert "cuda" in result.stderr
