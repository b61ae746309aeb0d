"""The settings of a run as data: command lines, sweeps and estimators fill them, and `--resume` compares them."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dec_keras.data.reading import ALIASES, DATASETS, SCALES, Reading, describe_factor
from dec_keras.errors import InputError
from dec_keras.method.protocols import ADAM, BATCH_SIZE, CHECKS, LENGTHS, STARTS, get_settings, resolve


@dataclass(frozen=True)
class RunConfig:
    """What a run trains on and how. Its values are checked and cast by `protocols.CHECKS`.

    Attributes:
        method: "DEC" or "IDEC".
        dataset: name of a data set, or path of a file or of a folder of images.
        reading: how a file is read.
        protocol: name of the protocol that gives the settings, of `protocols.PROTOCOLS`.
        n_clusters: number of clusters, at least 1; None: the number of classes.
        batch_size, gamma, seed: as for `DEC.fit`, `IDEC.compile` and DEC. Only IDEC uses gamma.
        ae_weights: path of a pretrained autoencoder, or None: pretrain one.
        scale, init, pretraining, ...: as in `protocols.Settings`; None: the protocol's.

    Raises:
        InputError: if a value is out of range.
    """

    method: str = "DEC"
    dataset: str = "mnist"
    reading: Reading = field(default_factory=Reading)
    protocol: str = "dec-keras"
    n_clusters: int | None = None
    batch_size: int = BATCH_SIZE
    gamma: float = 0.1
    seed: int = 0
    ae_weights: str | None = None
    source: str | None = None
    dims: tuple[int, ...] | None = None
    scale: str | float | None = None
    init: str | dict | None = None
    pretraining: str | None = None
    pretrain_optimizer: dict | None = None
    pretrain_schedule: str | None = None
    pretrain_epochs: int | str | None = None
    augment: str | None = None
    start: str | None = None
    optimizer: dict | None = None
    schedule: str | None = None
    update_interval: int | str | None = None
    tol: float | None = None
    maxiter: int | str | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            is_open = value is None or (name in ("pretrain_epochs", "update_interval", "maxiter") and value in LENGTHS)
            if name in CHECKS and not is_open:
                object.__setattr__(self, name, CHECKS[name](name, value))
        given = [row.name for row in fields(Reading) if getattr(self.reading, row.name) != row.default]
        if given and not self.is_user_data:
            raise InputError(f"{given[0]} says how your own data are read, and {self.dataset} are none: leave it out.")

    @property
    def dataset_name(self) -> str:
        """The name of the data set, for an alias its main name; a path is not changed."""
        return ALIASES.get(self.dataset, self.dataset)

    @property
    def is_user_data(self) -> bool:
        return self.dataset_name not in DATASETS

    def with_protocol(self) -> "RunConfig":
        """The config with the protocol's settings in place of None."""
        row = vars(get_settings(self.dataset_name, self.protocol, self.method, self.pretraining))
        return replace(self, **{name: value for name, value in row.items() if getattr(self, name) is None})

    def pretrain(self, dec: Any, x: Any, y: Any = None, **files: Any) -> None:
        """Pretrains a DEC; `files` are arguments that are no settings, such as `save_dir`."""
        train = dec.pretrain_layerwise if self.pretraining == "layerwise" else dec.pretrain
        train(x, y, **self.pretrain_arguments(), **files)

    def pretrain_arguments(self) -> dict[str, Any]:
        """Arguments of the pretraining; a layer-wise one takes no optimizer, since it has the paper's."""
        augment = self.augment in ("pretraining", "both")
        arguments = {"epochs": self.pretrain_epochs, "batch_size": self.batch_size, "augment": augment}
        if self.pretraining == "layerwise":
            return arguments
        return arguments | {"optimizer": self.pretrain_optimizer, "schedule": self.pretrain_schedule}

    def compile_arguments(self) -> dict[str, Any]:
        return {"gamma": self.gamma} if self.method == "IDEC" else {}

    def fit_arguments(self) -> dict[str, Any]:
        names = ("maxiter", "batch_size", "tol", "update_interval", "schedule", "start")
        return {name: getattr(self, name) for name in names} | {"augment": self.augment in ("clustering", "both")}

    def resolved(self, n: int, is_image: bool = False) -> "RunConfig":
        """The config with the protocol's settings in place of None, resolved for n samples, images or not."""
        return resolve(self.with_protocol(), n, self.batch_size, is_image)

    def as_json(self) -> dict[str, Any]:
        """A dict of JSON's types, numbers as numbers, for run.json."""
        values = asdict(self) | {"dataset": self.dataset_name, "dims": self.dims and list(self.dims)}
        values["ae_weights"] = None if self.ae_weights is None else str(self.ae_weights)
        values["reading"] = {name: value for name, value in values["reading"].items() if value not in (None, False)}
        if self.method == "DEC":
            del values["gamma"]
        return values


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that change none of its numbers.

    Attributes:
        save_dir: Path of the results' folder.
        resume: whether to continue the same run in `save_dir`, if it was interrupted.
        save_models: whether to save the model every five epochs of the clustering phase too.
        verbose: as for `DEC.fit`; 0 also hides the settings.
        figures, tensorboard: whether to draw the run, and to log it for TensorBoard.
        strategy: "none", "mirrored" or "multiworker", a tf.distribute strategy.
        command: the command line, for run.json.
    """

    save_dir: Path = Path("results")
    resume: bool = False
    save_models: bool = False
    verbose: int = 1
    figures: bool = False
    tensorboard: bool = False
    strategy: str = "none"
    command: str = ""


def describe(settings: dict[str, Any]) -> dict[str, Any]:
    """{name: value} of a run's settings for people to read, from `RunConfig.as_json` or the settings in run.json."""
    pretraining = f"{settings['pretraining']}, {settings['pretrain_epochs']} epochs"
    if settings["pretraining"] == "end-to-end":
        pretraining += f", {describe_object(settings['pretrain_optimizer'])}"
        pretraining += _falls(settings["pretrain_schedule"])
    rows = {
        "method": settings["method"],
        "data set": settings["dataset"],
        "protocol": f"{settings['protocol']} ({settings['source']})",
        "network": "-".join(map(str, settings["dims"])),
        "clusters": settings["n_clusters"],
        "scale of x": describe_scale(settings["scale"]),
        "initializer": describe_object(settings["init"]),
        "pretraining": f"none, {settings['ae_weights']}" if settings["ae_weights"] else pretraining,
        "images augmented": settings.get("augment", "none"),
        "start": STARTS[settings["start"]],
        "optimizer": describe_object(settings["optimizer"]) + _falls(settings.get("schedule", "constant")),
        "batch size": settings["batch_size"],
        "update interval": f"{settings['update_interval']} batches" if settings["update_interval"] else "one epoch",
        "stop": f"{settings['maxiter']} batches, or fewer than {settings['tol']:.2%} of the labels change",
        "seed": settings["seed"],
    }
    return rows | ({"gamma": settings["gamma"]} if "gamma" in settings else {})


def _falls(schedule):
    return "" if schedule == "constant" else f", learning rate {schedule}"


def describe_scale(scale: str | float) -> str:
    return f"{scale}, {SCALES[scale]}" if scale in SCALES else describe_factor(scale)


def describe_object(serialised: str | dict[str, Any]) -> str:
    """An optimizer or initializer in Keras' serialised form, as people write it: SGD(0.1, momentum 0.9)."""
    if not isinstance(serialised, dict):
        return str(serialised)
    values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in serialised["config"].items()}
    nameless = ("learning_rate", "mode", "distribution")
    if values.get("epsilon") == f"{ADAM['config']['epsilon']:g}":  # the seed repos' own
        del values["epsilon"]
    shown = [f"{value}" if name in nameless else f"{name} {value}" for name, value in values.items()]
    return f"{serialised['class_name']}({', '.join(shown)})"
