"""The one table of settings: the values that a protocol fixes for a data set. No script has settings of its own.

Six protocols:

- `dec-keras` (default): DEC.py of XifengGuo/DEC-keras. Data sets that DEC-keras does not list use the row of the most
  similar one. For your own data the lengths follow from the number of samples. DEC-keras itself would use 200 epochs of
  Adam and refresh P every 140 batches; `idec` does so.
- `idec`: DEC.py of XifengGuo/IDEC. That repo requires pretrained weights. Without them we pretrain as its authors'
  XifengGuo/IDEC-toy does (200 epochs of Adam).
- `paper`: Xie et al., ICML 2016, section "Implementation", with the update intervals of the authors' piiswrong/dec.
- `fast`: ours. The model, loss and clustering phase of `dec-keras`; on mnist and fmnist a pretraining of 20 epochs in
  place of 300, with Adam, a warm-up and a cosine decay, and on mnist centres from a Gaussian mixture. Other data sets
  are as in `dec-keras`.
- `dec-da`: the fully connected networks of XifengGuo/DEC-DA (Guo, Zhu, Liu, Yin, ACML 2018). Images are shifted and
  rotated at random in both phases. It accepts only images.
- `best`: ours, one row for all data except the Reuters texts. It pretrains as `fast`, augments images as `dec-da`, and
  takes the centres from a mixture on the manifold of the codes if the clusters there are separate. A short pretraining
  sees images without augmentation. The texts keep the settings of `dec-keras` except for the start, since no others
  were better. docs/results.md says how `best` was chosen.

Optimizers and initializers are written in Keras' serialised form, which `keras.optimizers.get` and
`keras.initializers.get` accept.
"""

from dataclasses import dataclass, field, replace
from functools import partial

from dec_keras.data.reading import DATASETS, check_scale
from dec_keras.errors import check_choice, check_dims, check_number, check_share, check_whole

BATCH_SIZE = 256  # in every source
MAXITER = 20_000  # DEC-keras, IDEC
TOL = 0.001  # paper: stop when fewer than 0.1 % of the points change their cluster
PAPER_BATCHES = 100_000  # paper: batches of fine-tuning; each layer takes half as many
MAX_SEED = 2**32 - 1  # the largest that NumPy accepts
SCHEDULES = ("constant", "cosine")
PRETRAINING = ("end-to-end", "layerwise")
CODE_DIMS = (500, 500, 2000, 10)  # paper: d-500-500-2000-10 for every data set
# Names of the starts, see `initial_centers`, and their titles for people.
STARTS = {"kmeans": "k-means", "gmm": "GMM", "manifold": "UMAP + GMM", "auto": "auto"}
AUGMENT = ("none", "pretraining", "clustering", "both")  # phases in which images are shifted and rotated
IF_IMAGES = "if images"  # "both" for images, "clustering" for images if the pretraining is short, else "none"
MANY_EPOCHS = 50  # a shorter pretraining does not learn well from images that change every epoch
# Lengths that follow from the number of samples: see `resolve`.
BY_SIZE = "by size"
PAPER_LENGTH = f"{PAPER_BATCHES} batches"
FAST_LENGTH = "5480 batches"  # 20 epochs of MNIST
AS_LONG_AGAIN = "twice the posterior's"
LENGTHS = (BY_SIZE, PAPER_LENGTH, FAST_LENGTH, AS_LONG_AGAIN)


def sgd(learning_rate, momentum, **others):
    return {"class_name": "SGD", "config": {"learning_rate": learning_rate, "momentum": momentum} | others}


# Adam as the seed repos' Keras 2.0 had it by default; Keras 2.1 (keras-team/keras#8710) and 3 have epsilon 1e-7.
ADAM = {"class_name": "Adam", "config": {"learning_rate": 0.001, "epsilon": 1e-8}}
# Uniform in +-sqrt(1 / fan_in): DEC-keras' choice wherever it pretrains with SGD.
UNIFORM_FAN_IN = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}
NORMAL_001 = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}


@dataclass(frozen=True)
class Settings:
    """What a protocol fixes for one data set.

    Attributes:
        source: where the row comes from.
        dims: number of units of each encoder layer after the input. Default: the paper's.
        scale: factor of `load_data`'s x; None scales x so that the mean of ||x||^2 / d is 1 (paper); or any other
            scale of `scaling.fit`.
        init: initializer of the autoencoder's kernels.
        pretraining: "end-to-end", or "layerwise" (greedy, denoising; then fine-tuned end to end).
        pretrain_optimizer: optimizer of end-to-end pretraining. Layerwise pretraining has the paper's own.
        pretrain_schedule: learning rate schedule of end-to-end pretraining, see `pretraining.pretrain`.
        pretrain_epochs: epochs of end-to-end pretraining, or of the fine-tuning in layerwise pretraining (each layer
            takes half as many); or one of `LENGTHS`.
        augment: one of `AUGMENT`, the phases in which images are shifted and rotated at random; or IF_IMAGES.
        start: start of the clustering phase, a name of `STARTS`.
        optimizer: optimizer of the clustering phase.
        schedule: learning rate schedule of the clustering phase, see `clustering.cluster`.
        update_interval: batches between two refreshes of the target distribution P; 0 = one epoch; or BY_SIZE.
        tol: the clustering phase stops when a smaller share of the labels than this changes in an interval.
        maxiter: maximum number of batches of the clustering phase; or AS_LONG_AGAIN.
    """

    source: str
    dims: tuple = CODE_DIMS
    scale: object = 1.0
    init: str | dict = "glorot_uniform"
    pretraining: str = "end-to-end"
    pretrain_optimizer: dict = field(default_factory=lambda: ADAM)
    pretrain_schedule: str = "constant"
    pretrain_epochs: int | str = 200
    augment: str = "none"
    start: str = "kmeans"
    optimizer: dict = field(default_factory=lambda: sgd(0.01, 0.9))
    schedule: str = "constant"
    update_interval: int | str = 0
    tol: float = TOL
    maxiter: int | str = MAXITER


def posterior_batches(epoch):
    """Number of batches for which P is the posterior of a start; `epoch` is the number of batches per epoch.

    It is 20 epochs, but at least 800 batches, since Q needs that many to learn the posterior of small data.
    """
    return max(20 * epoch, 800)


def resolve(settings, n, batch_size, is_image=False):
    """Settings in which `LENGTHS` and IF_IMAGES are replaced by their values for n samples, images or not.

    BY_SIZE: pretraining takes 10,000 batches, about as many as IDEC-toy's 200 epochs of pendigits, in whole epochs, at
    least 10 and at most 500. P is refreshed once per epoch, but after at least 30 and at most 1,000 batches. The 30 are
    from DEC-keras: within fewer batches the labels of a small data set may stay the same and still change later.
    AS_LONG_AGAIN: the posterior's batches are followed by at most as many batches with P by eq. 3.

    Args:
        settings: Settings.
        n: number of samples.
        batch_size: samples a batch.
        is_image: whether a sample is an image.
    """
    epoch = -(-n // batch_size)
    numbers = {}
    if settings.pretrain_epochs == BY_SIZE:
        numbers["pretrain_epochs"] = min(max(round(10_000 / epoch), 10), 500)
    elif settings.pretrain_epochs in LENGTHS:
        numbers["pretrain_epochs"] = -(-int(settings.pretrain_epochs.split()[0]) // epoch)
    if settings.update_interval == BY_SIZE:
        numbers["update_interval"] = min(max(epoch, 30), 1000)
    if settings.maxiter == AS_LONG_AGAIN:
        numbers["maxiter"] = 2 * posterior_batches(epoch)
    settings = replace(settings, **numbers)
    if settings.augment == IF_IMAGES:
        images = "both" if settings.pretrain_epochs >= MANY_EPOCHS else "clustering"
        settings = replace(settings, augment=images if is_image else "none")
    return settings


# The data set whose row is used if a protocol has no row for a data set.
LIKE = {
    **dict.fromkeys(("mnist-train", "mnist-test", "fmnist"), "mnist"),
    **dict.fromkeys(("reuters10k-xie", "rcv1-10k"), "reuters10k"),
}


def _row(rows, dataset):
    return rows.get(dataset) or rows.get(LIKE.get(dataset)) or rows["other"]


def _dec_keras():
    mnist = Settings(
        source="DEC-keras, mnist and fmnist",
        init=UNIFORM_FAN_IN,
        pretrain_optimizer=sgd(1.0, 0.9),
        pretrain_epochs=300,
        update_interval=140,
    )
    reuters = replace(mnist, source="DEC-keras, reuters10k", pretrain_epochs=50, update_interval=30)
    usps = Settings(source="DEC-keras, usps", pretrain_epochs=50, update_interval=30)
    return {
        "mnist": mnist,
        "mnist-test": replace(mnist, source="DEC-keras, mnist; P as often as in DEC-DA", update_interval=30),
        "reuters10k": reuters,
        "rcv1-10k": replace(reuters, source="DEC-keras, its reuters10k row"),
        "usps": usps,
        "stl": replace(usps, source="DEC-keras, stl", pretrain_epochs=10),
        "pendigits": replace(usps, source="DEC-keras, its usps row; epochs of IDEC-toy", pretrain_epochs=200),
        "digits": replace(usps, source="DEC-keras, its usps row; epochs of IDEC-toy", pretrain_epochs=200),
        "other": Settings(
            source="ours, by the number of samples; optimizers of DEC-keras' class DEC",
            scale="auto",
            pretrain_epochs=BY_SIZE,
            update_interval=BY_SIZE,
        ),
    }


def _fast():
    mnist = replace(
        PROTOCOLS["dec-keras"]["mnist"],
        source="ours; DEC-keras, mnist and fmnist, but for the pretraining",
        pretrain_optimizer={"class_name": "Adam", "config": {"learning_rate": 0.001}},
        pretrain_schedule="cosine",
        pretrain_epochs=20,
        start="gmm",
    )
    fmnist = replace(mnist, start="kmeans")  # docs/results.md says why
    return PROTOCOLS["dec-keras"] | {"mnist": mnist, "fmnist": fmnist}


def _idec():
    mnist = Settings(source="IDEC repo, mnist; x = pixels / 50", scale=255 / 50, update_interval=140)
    reuters = Settings(source="IDEC repo, reutersidf10k", update_interval=20)
    usps = Settings(source="IDEC repo, usps; x in [0, 2]", scale=2.0, update_interval=30)
    other = Settings(source="the defaults of the class DEC of IDEC and DEC-keras", update_interval=140)
    return {"mnist": mnist, "reuters10k": reuters, "usps": usps, "stl": other, "other": replace(other, scale="auto")}


def _paper():
    mnist = Settings(
        source="DEC paper; piiswrong/dec, mnist; x = 0.02 pixels",
        scale=0.02 * 255,
        init=NORMAL_001,
        pretraining="layerwise",
        pretrain_epochs=PAPER_LENGTH,
        update_interval=160,
    )
    reuters = replace(mnist, source="DEC paper; piiswrong/dec, reuters10k", scale=1.0, update_interval=20)
    stl = replace(mnist, source="DEC paper; piiswrong/dec, stl (but VGG16 features)", scale=None, update_interval=40)
    other = replace(mnist, source="DEC paper; mean ||x||^2 / d = 1", scale=None, update_interval=30)
    return {"mnist": mnist, "reuters10k": reuters, "stl": stl, "other": other}


def _dec_da():
    mnist = Settings(
        source="DEC-DA, mnist and fmnist",
        init=UNIFORM_FAN_IN,
        pretrain_optimizer=sgd(1.0, 0.9),
        pretrain_epochs=500,
        augment="both",
        update_interval=140,
    )
    other = replace(mnist, source="DEC-DA, usps and mnist-test", update_interval=30)
    return {"mnist": mnist, "mnist-test": other, "usps": other, "other": replace(other, scale="auto")}


def _best():
    row = Settings(
        source="ours",
        scale="auto",
        init=UNIFORM_FAN_IN,
        pretrain_optimizer={"class_name": "Adam", "config": {"learning_rate": 0.001}},
        pretrain_schedule="cosine",
        pretrain_epochs=FAST_LENGTH,
        augment=IF_IMAGES,
        start="auto",
        schedule="cosine",
        update_interval=BY_SIZE,
        # With augmentation at least 0.16 % of MNIST's labels change per interval, and with P by eq. 3 clusters drift.
        tol=0.002,
        maxiter=AS_LONG_AGAIN,
    )
    text = replace(PROTOCOLS["dec-keras"]["reuters10k"], source="DEC-keras, reuters10k", start="auto")
    return {"reuters10k": text, "other": row}


PROTOCOLS = {"dec-keras": _dec_keras(), "idec": _idec(), "paper": _paper()}
PROTOCOLS |= {"fast": _fast(), "dec-da": _dec_da(), "best": _best()}


# Optimizer and update interval of IDEC's clustering phase in every protocol that is not in IDEC_OF, from the IDEC
# repo's IDEC.py (and paper, section 4). Data sets that IDEC.py does not list follow IDEC-toy's code.
_SGD_IDEC = {"optimizer": sgd(0.1, 0.99)}
_IDEC_MNIST = {"optimizer": ADAM, "update_interval": 140}
IDEC = {
    "mnist": _IDEC_MNIST,
    "mnist-test": _IDEC_MNIST | {"update_interval": 30},
    "usps": _SGD_IDEC | {"update_interval": 30},
    "reuters10k": _SGD_IDEC | {"update_interval": 3},
    "other": {"optimizer": ADAM, "update_interval": 0},
}
IDEC_OF = {
    "dec-da": {"other": {"optimizer": sgd(1.0, 0.9)}},
    # With gamma = 0.1 the step along KL(P || Q) is DEC's. Adam would drift once P follows eq. 3, and never stop by
    # tol. At this rate, ten times DEC's, the reconstruction of pendigits diverges unless the gradients are clipped.
    "best": {"reuters10k": IDEC["reuters10k"], "other": {"optimizer": sgd(0.1, 0.9, global_clipnorm=1.0)}},
}


def get_settings(dataset, protocol="dec-keras", method="DEC", pretraining=None):
    """The settings of a protocol for a data set and method.

    Args:
        dataset: a name of `DATASETS`; anything else (a file's path) gets the protocol's row `other`.
        protocol: a name of `PROTOCOLS`.
        method: "DEC" or "IDEC".
        pretraining: one of `PRETRAINING`, with its own default length, in place of the protocol's; None: the
            protocol's.

    Returns:
        Settings.

    Raises:
        InputError: if there is no such protocol.
    """
    settings = _row(PROTOCOLS[check_choice("protocol", protocol, PROTOCOLS)], dataset)
    if pretraining not in (None, settings.pretraining):
        length = PAPER_LENGTH if pretraining == "layerwise" else Settings.pretrain_epochs
        settings = replace(settings, pretraining=pretraining, pretrain_epochs=length)
    if settings.scale == "auto" and dataset in DATASETS:  # `load_data` has scaled them
        settings = replace(settings, scale=1.0)
    if method == "IDEC" and protocol in IDEC_OF:
        return replace(settings, **_row(IDEC_OF[protocol], dataset))
    if method == "IDEC":
        clustering = _row(IDEC, dataset)
        source = f"{settings.source}; clustering: {'IDEC-toy' if clustering is IDEC['other'] else 'IDEC repo'}"
        by_size = {"update_interval": BY_SIZE} if settings.update_interval == BY_SIZE else {}
        settings = replace(settings, source=source, **clustering | by_size)
    return settings


# The check of each setting of a run and of each argument of DEC and IDEC.
CHECKS = {
    **dict.fromkeys(("n_clusters", "batch_size", "maxiter"), partial(check_whole, at_least=1)),
    **dict.fromkeys(("epochs", "pretrain_epochs"), partial(check_whole, at_least=1)),
    "update_interval": partial(check_whole, at_least=0),
    "tol": check_share,
    "gamma": partial(check_number, at_least=0),
    "dims": check_dims,
    "seed": partial(check_whole, at_least=0, at_most=MAX_SEED),
    "verbose": partial(check_whole, at_least=0, at_most=2),  # as Keras has it
    "scale": lambda _, value: check_scale(value),
    "protocol": partial(check_choice, choices=PROTOCOLS),
    "pretraining": partial(check_choice, choices=PRETRAINING),
    **dict.fromkeys(("schedule", "pretrain_schedule"), partial(check_choice, choices=SCHEDULES)),
    "augment": partial(check_choice, choices=(*AUGMENT, IF_IMAGES)),
    "start": partial(check_choice, choices=STARTS),
}


def checked(**values):
    """Checks settings by `CHECKS` and returns {name: value}, converted: "2e4" becomes 20000.

    Raises:
        InputError: if a value is out of range.
    """
    return {name: CHECKS[name](name, value) for name, value in values.items()}
