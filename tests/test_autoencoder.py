import re

import keras
import numpy as np
import pytest

from DEC import DEC
from dec_keras import metrics
from dec_keras.data.samples import Samples
from dec_keras.errors import InputError
from dec_keras.files.models import read_attributes
from dec_keras.method import pretraining as pretraining_module
from dec_keras.method.initial_centers import kmeans_start
from dec_keras.method.model import autoencoder
from dec_keras.method.protocols import MAX_SEED, UNIFORM_FAN_IN
from dec_keras.training.steps import Trainer
from IDEC import IDEC
from tests.helpers import DIMS, read_log


def test_layers_have_the_seeds_names_sizes_and_activations():
    model, encoder = autoencoder([7, 5, 6, 2])
    layers = [(layer.name, layer.units, layer.activation.__name__) for layer in model.layers[1:]]
    assert layers == [
        ("encoder_0", 5, "relu"),
        ("encoder_1", 6, "relu"),
        ("encoder_2", 2, "linear"),
        ("decoder_2", 6, "relu"),
        ("decoder_1", 5, "relu"),
        ("decoder_0", 7, "linear"),
    ]
    assert model.layers[0].name == "input"
    assert [layer.name for layer in encoder.layers] == ["input", "encoder_0", "encoder_1", "encoder_2"]
    assert encoder.get_layer("encoder_1") is model.get_layer("encoder_1")


@pytest.mark.parametrize(
    "init", ["glorot_uniform", UNIFORM_FAN_IN, keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")]
)
def test_layers_of_one_shape_start_from_different_weights(init):
    model, _ = autoencoder([4, 4, 4, 4], init=init)
    kernels = [layer.kernel.numpy() for layer in model.layers[1:]]
    assert all(np.abs(a - b).max() > 0 for i, a in enumerate(kernels) for b in kernels[:i])


def test_uniform_fan_in_has_the_seeds_limits():
    model, _ = autoencoder([400, 300, 2], init=UNIFORM_FAN_IN)
    limit = np.abs(model.get_layer("encoder_0").kernel.numpy()).max()
    assert limit == pytest.approx(np.sqrt(1 / 400), rel=1e-3)


def test_two_dims_and_a_code_of_one_number_are_enough():
    assert [layer.units for layer in autoencoder([5, 1])[0].layers[1:]] == [1, 5]


@pytest.mark.parametrize("dims", [[5], [5, 0], [5, 2.5], [5, None], 10, None, "ab"])
def test_bad_dims_are_told(dims):
    with pytest.raises(InputError, match="dims"):
        autoencoder(dims)


def test_pretraining_reconstructs_logs_and_saves(dec, blobs, tmp_path, capsys):
    x, y = blobs
    dec.pretrain(x, y, "adam", epochs=54, batch_size=20, save_dir=tmp_path)
    rows = read_log(tmp_path / "pretrain_log.csv")
    assert list(rows[0]) == ["epoch", "loss", "acc", "nmi"]
    assert len(rows) == 54
    assert float(rows[-1]["loss"]) < 0.2 * float(rows[0]["loss"])
    scored = [row for row in rows if row["acc"] != "NA"]
    assert [int(row["epoch"]) for row in scored] == list(range(0, 54, 5))  # about ten times
    line = r"^Epoch (\d+)/54: loss (\S+)(?:, acc (\S+), nmi (\S+))?, [\d:]+ left$"
    printed = re.findall(line, capsys.readouterr().out, re.M)
    assert [int(epoch) for epoch, *_ in printed] == [*range(1, 54, 6), 54]  # about ten, the last among them
    assert printed[0][1:] == tuple(f"{float(rows[0][name]):#.4g}" for name in ("loss", "acc", "nmi"))

    again = DEC(dec.dims, n_clusters=3)
    again.autoencoder.load_weights(tmp_path / "ae_weights.h5")
    np.testing.assert_array_equal(again.extract_features(x), dec.extract_features(x))


@pytest.mark.parametrize("epochs", [1, 3])
def test_pretraining_needs_no_labels_and_may_be_short(dec, blobs, tmp_path, epochs):
    x, y = blobs
    dec.pretrain(x, epochs=epochs, save_dir=tmp_path / "a")
    assert {row["acc"] for row in read_log(tmp_path / "a" / "pretrain_log.csv")} == {"NA"}
    y = y[::-1]  # labels of other samples, which score low
    dec.pretrain(x, y, epochs=epochs, save_dir=tmp_path / "b")
    rows = read_log(tmp_path / "b" / "pretrain_log.csv")
    assert len(rows) == epochs
    assert all(row["acc"] != "NA" for row in rows)
    _, labels, *_ = kmeans_start(dec.extract_features(x), 3, seed=0)
    for name, score in (("acc", metrics.acc), ("nmi", metrics.nmi)):
        assert float(rows[-1][name]) == pytest.approx(score(y, labels))


def test_diverging_pretraining_is_told_and_saves_no_weights(dec, blobs, tmp_path):
    x, _ = blobs
    with pytest.raises(FloatingPointError, match="reconstruction loss"):
        dec.pretrain(x, optimizer=keras.optimizers.SGD(1e20), epochs=5, save_dir=tmp_path)
    assert not (tmp_path / "ae_weights.h5").exists()


def test_a_layer_is_denoised_as_the_paper_says(dec, blobs):
    """Dropout of 20 % on the layer's input and, but for the last, on its code; only that layer is trained."""
    x, _ = blobs
    denoiser = pretraining_module._denoiser(dec, 1)
    kinds = [(type(layer).__name__, getattr(layer, "rate", None)) for layer in denoiser.layers[1:]]
    assert kinds == [("Dropout", 0.2), ("Dense", None), ("Dropout", 0.2), ("Dense", None)]
    last = pretraining_module._denoiser(dec, 2)
    assert [type(layer).__name__ for layer in last.layers[1:]] == ["Dropout", "Dense", "Dense"]
    before = {layer.name: layer.get_weights() for layer in dec.autoencoder.layers}
    below = pretraining_module._below(dec, 1)
    relu = np.maximum(x @ before["encoder_0"][0] + before["encoder_0"][1], 0)
    np.testing.assert_allclose(below(x), relu, atol=1e-6)
    training = pretraining_module._Pretraining(dec, Samples(x), None, 2, 20, False, None, (), False, 0, {})
    assert not training.is_finished()
    training.fit("Layer 1", denoiser, keras.optimizers.SGD(0.1), 2, layer=1)
    changed = {
        layer.name
        for layer in dec.autoencoder.layers
        if any((a != b).any() for a, b in zip(layer.get_weights(), before[layer.name], strict=True))
    }
    assert changed == {"encoder_1", "decoder_1"}


def test_the_papers_sgd_drops_its_rate_every_20000_batches():
    optimizer = pretraining_module._sgd_with_drops()
    rate = optimizer._learning_rate
    at = [0, 20_000, 20_001, 40_001, 60_001, 80_001, 100_000]
    assert [float(rate(batch)) for batch in at] == pytest.approx([5e-2, 5e-2, 5e-3, 5e-4, 5e-5, 5e-6, 5e-6])
    assert optimizer.momentum == 0.9


def test_without_a_folder_nothing_is_written(dec, blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for pretrain in (dec.pretrain, dec.pretrain_layerwise):
        pretrain(blobs[0], epochs=1, save_dir=None)
    assert isinstance(dec.autoencoder.optimizer, keras.optimizers.SGD)  # of the second, which came to its end
    assert not list(tmp_path.iterdir())


def test_adam_is_the_seeds_by_default(dec, blobs):
    dec.pretrain(blobs[0], epochs=1, save_dir=None)
    idec = IDEC([6, 4, 2], 3)
    idec.compile()
    assert dec.autoencoder.optimizer.epsilon == idec.model.optimizer.epsilon == 1e-8


def test_layerwise_pretraining_trains_every_layer_then_all(dec, blobs, tmp_path):
    x, _ = blobs
    dec.pretrain_layerwise(x, epochs=200, batch_size=10, save_dir=tmp_path)
    for i in range(3):
        rows = read_log(tmp_path / f"pretrain_layer_{i}_log.csv")
        assert len(rows) == 100
        assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    rows = read_log(tmp_path / "pretrain_log.csv")
    assert len(rows) == 200
    assert float(rows[-1]["loss"]) < np.var(x) / 2  # better than the mean of x
    assert (tmp_path / "ae_weights.h5").exists()


def test_layerwise_pretraining_takes_the_papers_batches_and_half_as_many_a_layer(
    dec, blobs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("dec_keras.method.pretraining.PAPER_BATCHES", 17)
    dec.pretrain_layerwise(blobs[0], batch_size=30, save_dir=tmp_path)  # four batches an epoch
    assert len(read_log(tmp_path / "pretrain_log.csv")) == 5
    assert [len(read_log(tmp_path / f"pretrain_layer_{i}_log.csv")) for i in range(3)] == [3, 3, 3]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Layer")]
    assert said == ["Layer 0: 6-16-6", "Layer 1: 16-16-16", "Layer 2: 16-3-16"]


def test_every_step_of_layerwise_pretraining_has_a_seed_of_its_own(monkeypatch):
    seeds = []
    monkeypatch.setattr("keras.utils.set_random_seed", seeds.append)
    for seed, step in ((0, 0), (0, 2), (MAX_SEED - 1, 0), (MAX_SEED, 0), (MAX_SEED, 1), (None, 0)):
        pretraining_module._reseed(seed, step)
    assert seeds == [1, 3, MAX_SEED, 0, 1]


def test_batches_are_shuffled_anew_every_epoch_but_as_the_seed_says(blobs, monkeypatch, tmp_path):
    x, _ = blobs

    def orders():
        """The order of the samples in each of four epochs, as they are read for the training step."""
        keras.utils.set_random_seed(0)
        seen = []

        def recorded(samples, index):
            if not isinstance(index, slice):  # which is for all of x, in order
                seen.append(samples.x[index])
            return samples.x[index]

        with monkeypatch.context() as patch:
            patch.setattr(Samples, "rows", recorded)
            DEC([6, 4, 2], 3).pretrain(x, epochs=4, batch_size=32, save_dir=tmp_path)
        return np.concatenate(seen)[: 4 * len(x)].reshape(4, *x.shape)  # it reads ahead of the training

    first, second = orders(), orders()
    np.testing.assert_array_equal(first, second)
    for epoch in first:
        np.testing.assert_array_equal(np.sort(epoch, axis=0), np.sort(x, axis=0))  # every sample once
    assert all((a != b).any() for i, a in enumerate(first) for b in first[:i])


def test_cosine_schedule_warms_up_to_the_optimizers_rate_and_ends_at_0():
    rate = pretraining_module._cosine(0.01, batches=400)
    assert float(rate(0)) == 0
    assert float(rate(10)) == pytest.approx(0.005)
    assert float(rate(20)) == pytest.approx(0.01)
    assert float(rate(210)) == pytest.approx(0.005, rel=1e-3)
    assert float(rate(400)) == pytest.approx(0, abs=1e-8)
    rate = pretraining_module._cosine(0.01, batches=10)
    assert [float(rate(0)), float(rate(1))] == pytest.approx([0, 0.01])


@pytest.mark.parametrize("arguments", [{"schedule": "cosin"}, {"epochs": 0}, {"batch_size": 0}])
def test_bad_arguments_of_pretraining_are_told(dec, blobs, tmp_path, arguments):
    with pytest.raises(InputError, match=f"{next(iter(arguments))} is"):
        dec.pretrain(blobs[0], save_dir=tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_an_unknown_optimizer_leaves_no_folder(dec, blobs, tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        dec.pretrain(blobs[0], optimizer="nonsense", save_dir=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_one_batch_is_enough(dec, blobs, tmp_path, schedule):
    dec.pretrain(blobs[0], epochs=1, batch_size=1e20, save_dir=tmp_path, schedule=schedule)
    assert read_attributes(tmp_path / "ae_weights.h5")["pretraining"]["run"]["batch_size"] == len(blobs[0])


def test_cosine_schedule_is_used(dec, blobs, tmp_path):
    dec.pretrain(blobs[0], optimizer="adam", epochs=5, batch_size=20, save_dir=tmp_path, schedule="cosine")
    assert float(dec.autoencoder.optimizer.learning_rate) == pytest.approx(0, abs=1e-8)
    assert float(dec.autoencoder.optimizer._learning_rate(13)) == pytest.approx(5e-4)  # half, in the middle of 25


def test_the_trainer_is_told_how_many_batches_there_will_be(blobs, monkeypatch):
    """By which it decides whether compiling is worth it."""
    lengths = []

    class Recorded(Trainer):
        def __init__(self, model, batches, prepare, n_batches):
            lengths.append(n_batches)
            super().__init__(model, batches, prepare, n_batches)

    monkeypatch.setattr("dec_keras.method.pretraining.Trainer", Recorded)
    DEC(DIMS, 3).pretrain(blobs[0], epochs=3, batch_size=50, save_dir=None)
    assert lengths == [3 * -(-len(blobs[0]) // 50)]
