"""Several processes train as one does, and what the launcher reads is what it knows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import rankrag.train
import train_tiny
from rankrag.errors import InvalidInputError
from rankrag.train import TrainingJob, train
from rankrag.train.record import read_metrics
from rankrag.train.run import check_launch

CONFIGS = sorted((Path(rankrag.train.__file__).parent / "configs").glob("*.yaml"))


def losses(folder: Path) -> list[float]:
    names = ("loss", "eval_loss", "eval_rank_loss", "eval_rank_auc", "tokens")
    return [line[name] for line in read_metrics(folder / "metrics.jsonl") for name in names if name in line]  # type: ignore[misc]


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    """Two processes with two accumulation steps against one with four, over gloo, step by step."""
    model, blend = train_tiny.write_model(tmp_path / "model"), train_tiny.write_blend(tmp_path / "blend")
    stage = train_tiny.stage(model, per_device_train_batch_size=2)
    alone = train(TrainingJob(stage, 2, blend, tmp_path / "one"), lambda done, total, unit: None)
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "two"
    recipe.write_text(yaml.safe_dump({"stage2": stage.model_dump(mode="json")}))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = f"-m rankrag train {recipe} --stage 2 --blend {blend} --out {out} --output json".split()
    ended = subprocess.run(
        [*launch, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    assert len(losses(out)) == 3 * 4 + 6 * 2
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert json.loads(ended.stdout)["n_devices"] == 2  # one document: one process speaks for both


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_launcher_knows_every_key_of_a_configuration(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(path))
    assert (config.num_processes, config.num_machines) in ((8, 1), (32, 4))
    flags = vars(launch_command_parser().parse_args(["script.py"]))
    assert [name for name in config.fsdp_config if name not in flags] == []


def test_several_gpus_want_several_processes() -> None:
    check_launch(8, 8)
    check_launch(1, 1)
    check_launch(0, 1)
    with pytest.raises(InvalidInputError, match=r"found 8 GPUs and one process.*--num_processes 8"):
        check_launch(8, 1)


def test_there_is_a_configuration_for_one_machine_and_for_several() -> None:
    assert [path.stem for path in CONFIGS] == ["fsdp-one-node", "fsdp-several-nodes"]
