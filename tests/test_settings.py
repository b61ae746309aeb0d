from dataclasses import replace

import keras
import pytest

from dec_keras.data.datasets import DATASETS
from dec_keras.data.reading import Reading
from dec_keras.errors import InputError
from dec_keras.method.protocols import BY_SIZE, FAST_LENGTH, PAPER_LENGTH, PROTOCOLS, get_settings, resolve
from dec_keras.runs.config import RunConfig, describe
from dec_keras.training.steps import get_optimizer


@pytest.mark.parametrize("method", ["DEC", "IDEC"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_data_set_has_settings_that_keras_understands(protocol, method):
    for settings in (get_settings(dataset, protocol, method) for dataset in (*DATASETS, "my/own.npz")):
        for optimizer in (settings.optimizer, settings.pretrain_optimizer):
            before = repr(optimizer)
            get_optimizer(optimizer)
            assert repr(optimizer) == before  # Keras itself would change the dict
        keras.initializers.get(settings.init)
        assert settings.source


@pytest.mark.parametrize(
    ("protocol", "dataset", "epochs", "interval", "scale"),
    [
        ("dec-keras", "mnist", 300, 140, 1),
        ("dec-keras", "fmnist", 300, 140, 1),
        ("dec-keras", "reuters10k", 50, 30, 1),
        ("dec-keras", "usps", 50, 30, 1),
        ("dec-keras", "stl", 10, 30, 1),
        ("fast", "mnist", 20, 140, 1),
        ("fast", "fmnist", 20, 140, 1),
        ("fast", "usps", 50, 30, 1),
        ("idec", "mnist", 200, 140, 255 / 50),
        ("idec", "usps", 200, 30, 2),
        ("idec", "reuters10k", 200, 20, 1),
        ("paper", "mnist", PAPER_LENGTH, 160, 0.02 * 255),
        ("paper", "reuters10k", PAPER_LENGTH, 20, 1),
        ("paper", "stl", PAPER_LENGTH, 40, None),
        ("dec-keras", "my/own.npz", BY_SIZE, BY_SIZE, "auto"),
        ("fast", "my/own.npz", BY_SIZE, BY_SIZE, "auto"),
        ("idec", "my/own.npz", 200, 140, "auto"),
        ("paper", "my/own.npz", PAPER_LENGTH, 30, None),
        ("dec-keras", "mnist-train", 300, 140, 1),
        ("dec-keras", "mnist-test", 300, 30, 1),
        ("idec", "digits", 200, 140, 1),
        ("dec-da", "mnist", 500, 140, 1),
        ("dec-da", "usps", 500, 30, 1),
        ("best", "rcv1-10k", 50, 30, 1),
        ("best", "usps", FAST_LENGTH, BY_SIZE, 1),
        ("best", "my/own.npz", FAST_LENGTH, BY_SIZE, "auto"),
    ],
)
def test_settings_are_the_sources(protocol, dataset, epochs, interval, scale):
    settings = get_settings(dataset, protocol)
    assert (settings.pretrain_epochs, settings.update_interval, settings.scale) == (epochs, interval, scale)


def test_mnist_of_dec_keras_pretrains_with_sgd_1_and_clusters_with_sgd_001():
    settings = get_settings("mnist")
    assert settings.pretrain_optimizer["config"] == {"learning_rate": 1.0, "momentum": 0.9}
    assert settings.optimizer["config"] == {"learning_rate": 0.01, "momentum": 0.9}
    assert get_settings("usps").pretrain_optimizer == {
        "class_name": "Adam",
        "config": {"learning_rate": 0.001, "epsilon": 1e-8},
    }


def test_only_fast_mnist_starts_from_a_mixture():
    mixtures = {(name, data) for name in PROTOCOLS for data in DATASETS if get_settings(data, name).start == "gmm"}
    assert mixtures == {("fast", "mnist"), ("fast", "mnist-train")}


def test_idec_of_dec_da_clusters_with_sgd_1():
    settings = get_settings("usps", "dec-da", "IDEC")
    assert settings.optimizer["config"] == {"learning_rate": 1.0, "momentum": 0.9}
    assert (settings.augment, settings.update_interval) == ("both", 30)


@pytest.mark.parametrize(
    ("n", "epochs", "is_image", "augment"),
    [
        (9298, 149, True, "both"),
        (70_000, 20, True, "clustering"),
        (9298, 149, False, "none"),
        (70_000, 20, False, "none"),
    ],
)
def test_best_augments_images_alone_and_pretrains_as_many_batches_everywhere(n, epochs, is_image, augment):
    settings = resolve(get_settings("usps", "best"), n, 256, is_image)
    assert (settings.augment, settings.pretrain_epochs) == (augment, epochs)


@pytest.mark.parametrize(("n", "batches"), [(1797, 1600), (9298, 1600), (70_000, 10_960)])
def test_best_takes_twice_the_batches_of_the_posterior_at_most(n, batches):
    assert resolve(get_settings("usps", "best"), n, 256).maxiter == batches
    config = RunConfig(dataset="usps", protocol="best", maxiter=7)
    assert (config.resolved(n).maxiter, RunConfig(dataset="usps").resolved(n).maxiter) == (7, 20_000)


def test_how_files_are_read_is_for_ones_own():
    with pytest.raises(InputError, match="header says how your own data are read, and digits are none"):
        RunConfig(dataset="digits", reading=Reading(header=False))
    assert RunConfig(dataset="digits.csv", reading=Reading(header=False)).reading.header is False


def test_unknown_protocol_is_told():
    with pytest.raises(InputError, match="choose from dec-keras, idec, paper, fast, dec-da, best"):
        get_settings("mnist", "fast-and-loose")


@pytest.mark.parametrize("name", ["schedule", "pretrain_schedule"])
def test_unknown_schedules_are_told(name):
    with pytest.raises(InputError, match=f"^{name} is 'linear': choose from constant, cosine"):
        RunConfig(**{name: "linear"})


@pytest.mark.parametrize("method", ["DEC", "IDEC"])
@pytest.mark.parametrize(
    ("n", "epochs", "interval"), [(300, 500, 30), (10_000, 250, 40), (70_000, 36, 274), (1_000_000, 10, 1000)]
)
def test_lengths_follow_from_the_number_of_samples(n, epochs, interval, method):
    settings = resolve(get_settings("my/own.npz", method=method), n, 256)
    assert (settings.pretrain_epochs, settings.update_interval) == (epochs, interval)
    usps = get_settings("usps", method=method)
    assert resolve(usps, n, 256) == usps


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (
            RunConfig("IDEC", "my/own.npz", scale=1 / 255),
            {
                "scale of x": "/ 255",
                "initializer": "glorot_uniform",
                "pretraining": "end-to-end, 500 epochs, Adam(0.001)",
                "optimizer": "Adam(0.001)",
            },
        ),
        (
            RunConfig("DEC", "mnist"),
            {
                "scale of x": "none",
                "initializer": "VarianceScaling(scale 0.333333, fan_in, uniform)",
                "pretraining": "end-to-end, 300 epochs, SGD(1, momentum 0.9)",
                "optimizer": "SGD(0.01, momentum 0.9)",
            },
        ),
        (RunConfig("DEC", "mnist", protocol="idec"), {"scale of x": "x 5.1"}),
        (
            RunConfig("DEC", "mnist", protocol="fast"),
            {"pretraining": "end-to-end, 20 epochs, Adam(0.001), learning rate cosine"},
        ),
        (RunConfig("DEC", "usps", protocol="paper", scale=1), {"initializer": "RandomNormal(mean 0, stddev 0.01)"}),
        (RunConfig("DEC", "usps", ae_weights="ae.h5"), {"pretraining": "none, ae.h5"}),
    ],
)
def test_settings_are_shown_as_people_write_them_and_kept_as_data(config, rows):
    settings = replace(config.resolved(1000), n_clusters=10).as_json()
    assert {name: describe(settings)[name] for name in rows} == rows
    assert settings["optimizer"] == get_settings(config.dataset, config.protocol, config.method).optimizer
    assert isinstance(settings["scale"], float)
