"""TensorBoard: both phases' logs, and the embedding for its projector.

python DEC.py --dataset usps --tensorboard
tensorboard --logdir results/tensorboard
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from dec_keras.errors import InputError
from dec_keras.files.atomic import atomic_write, write_text

POINTS = 10_000  # maximum, since the projector runs in the browser
RUN = "train"  # the subfolder of a phase's folder that Keras' callback logs to


def check_installed():
    """Raises InputError if TensorBoard, which TensorFlow logs with, is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise InputError("--tensorboard needs one package more: pip install tensorboard.") from error


def log(folder, keep=False):
    """The callback that logs a phase's losses and scores to `folder`; deletes older logs there unless `keep`."""
    if not keep:
        for old in Path(folder, RUN).glob("events.out.tfevents.*"):
            old.unlink()
    return keras.callbacks.TensorBoard(folder, write_graph=False)


def write_embedding(folder, z, **columns):
    """Writes the projector's files: the codes, a table of `columns`, and the configuration that names both.

    They go beside the log, since the projector looks only in the folder of a run.

    Args:
        folder: folder of a phase, which has a log.
        z: codes, shape `(n, d)`; of more than 10,000, a random 10,000 are written.
        columns: {name: values of the n samples}; values that are None are left out.
    """
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    folder = Path(folder, RUN)
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.sort(np.random.default_rng(0).permutation(len(z))[:POINTS])
    table = pd.DataFrame({name: np.asarray(values)[rows] for name, values in columns.items() if values is not None})
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="codes", tensor_path="codes.tsv", metadata_path="samples.tsv")
    with atomic_write(folder / "codes.tsv") as temporary:
        np.savetxt(temporary, z[rows], fmt="%.6g", delimiter="\t")
    with atomic_write(folder / "samples.tsv") as temporary:
        table.replace(r"\s", " ", regex=True).to_csv(temporary, sep="\t", index=False)
    write_text(folder / "projector_config.pbtxt", text_format.MessageToString(config))
