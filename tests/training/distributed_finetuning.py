"""Fine-tuning by one of several processes, or several devices of one.

    python -m tests.training.distributed_finetuning ENCODER FOLDER HOW KILL

HOW is `alone`, `mirrored` (two CPU devices) or `workers` (as `TF_CONFIG`
says); KILL is a step in front of which this process ends as by kill -9, or
`never`.
"""

import os
import signal
import sys

import tensorflow as tf

from bvkeras.training import finetune as module
from bvkeras.training.parted_step import PartedStep

# Without dropout, which every part draws for itself.
SETTINGS = {"dropout": 0.0}


def finetune_alone(encoder_directory, directory, **arguments):
    """The snapshots of two epochs of steps of 8 examples, the last of 2."""
    from bvkeras.encoders.loading import load_backbone
    from tests.tiny_runs import CLASSES, FINETUNE, make_examples

    return module.finetune(
        load_backbone(encoder_directory, dropout=0.0),
        CLASSES,
        make_examples(34),
        directory,
        save_every_seconds=0,
        **{**FINETUNE, **SETTINGS, "epochs": (1, 2)},
        **arguments,
    )


def _strategy(how):
    if how == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if how == "mirrored":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return None


def _main(encoder_directory, directory, how, kill):
    strategy = _strategy(how)
    if kill != "never":
        step, take = 0, PartedStep.__call__

        def counted(self, *batch):
            nonlocal step
            step += 1
            if step == int(kill):
                os.kill(os.getpid(), signal.SIGKILL)
            return take(self, *batch)

        PartedStep.__call__ = counted
    finetune_alone(encoder_directory, directory, strategy=strategy)


if __name__ == "__main__":
    _main(*sys.argv[1:])
