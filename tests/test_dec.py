import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from DEC import DEC
from dec_keras.errors import InputError
from tests.helpers import DIMS, ROOT, three_groups


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A DEC trained for a while, and the folder of its files, with bad ones among them."""
    keras.utils.set_random_seed(0)
    dec, folder = DEC(DIMS, 3, seed=0), tmp_path_factory.mktemp("trained")
    x, _ = three_groups()
    dec.pretrain(x, epochs=30, save_dir=folder)
    dec.fit(x, maxiter=30, update_interval=10, save_dir=folder)
    bad_files(folder)
    return dec, folder


class Bare:
    """A stream of write and flush alone, such as a tee into a log."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize("stream", [None, Bare()])
def test_it_trains_whatever_standard_output_is(stream, dec, blobs, monkeypatch):
    """None is what pythonw has."""
    monkeypatch.setattr("sys.stdout", stream)
    dec.pretrain(*blobs, epochs=1, save_dir=None)
    dec.pretrain_layerwise(*blobs, epochs=1, save_dir=None)
    dec.fit(*blobs, maxiter=2, update_interval=1, save_dir=None)
    assert stream is None or ("Epoch 1/1: loss " in stream.text and "Iter 1: acc" in stream.text)


def test_it_clusters(dec, blobs, tmp_path):
    x, y = blobs
    dec.pretrain(x, epochs=60, save_dir=tmp_path)
    labels = dec.fit(x, y, maxiter=60, update_interval=10, save_dir=tmp_path)
    assert dec.result.log[-1]["acc"] == 1.0
    assert labels.shape == (100,)
    assert set(labels) == {0, 1, 2}


def test_fit_warns_of_an_autoencoder_that_was_never_pretrained(dec, blobs, tmp_path, capsys):
    x, _ = blobs
    dec.autoencoder.save_weights(tmp_path / "random.weights.h5")
    dec.fit(x, maxiter=1)
    assert "Warning: the autoencoder was never pretrained" in capsys.readouterr().out
    dec.pretrain(x, epochs=1)
    dec.fit(x, maxiter=1)
    dec.autoencoder.save_weights(tmp_path / "trained.weights.h5")
    again = DEC(DIMS, 3)
    again.autoencoder.load_weights(tmp_path / "trained.weights.h5")
    again.fit(x, maxiter=1)
    again = DEC(DIMS, 3)
    again.pretrained = True  # as who asks for random codes may say
    again.fit(x, maxiter=1)
    assert "never pretrained" not in capsys.readouterr().out


def test_without_a_folder_nothing_is_written(dec, blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dec.pretrain(blobs[0], epochs=1)
    dec.pretrain_layerwise(blobs[0], epochs=1)
    dec.fit(blobs[0], maxiter=1, save_models=True)
    assert list(tmp_path.iterdir()) == []
    for phase in (dec.pretrain, dec.pretrain_layerwise, dec.fit):
        with pytest.raises(InputError, match="give that folder"):
            phase(blobs[0], resume=True)


def test_outputs_have_the_promised_shapes(dec, blobs):
    x, _ = blobs
    q = dec.soft_labels(x)
    assert q.shape == (100, 3)
    np.testing.assert_allclose(q.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(dec.predict(x), q.argmax(1))
    assert dec.extract_features(x).shape == (100, 3)
    assert dec.predict(x[:1]).shape == (1,)


def test_saved_model_predicts_the_same_in_a_new_process(trained, blobs, tmp_path):
    dec, folder = trained
    x, _ = blobs
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, keras, numpy as np, DEC\n"
        "x = np.load(sys.argv[1])\n"
        "loaded = keras.models.load_model(sys.argv[2])\n"
        "again = DEC.DEC([6, 16, 16, 3], 3); again.load_weights(sys.argv[2])\n"
        "np.save(sys.argv[3], [loaded.predict(x, verbose=0).argmax(1), again.predict(x)])\n"
    )
    arguments = [tmp_path / "x.npy", folder / "DEC_model_final.h5", tmp_path / "labels.npy"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)
    loaded, again = np.load(tmp_path / "labels.npy")
    np.testing.assert_array_equal(loaded, dec.result.labels)
    np.testing.assert_array_equal(again, dec.result.labels)


def test_weights_load_with_and_without_the_suffix(trained, blobs):
    dec, folder = trained
    x, _ = blobs
    for name in ("DEC_model_final.h5", "DEC_model_final"):
        again = DEC(dec.dims, 3)
        again.load_weights(folder / name)
        np.testing.assert_array_equal(again.soft_labels(x), dec.soft_labels(x))


def bad_files(folder):
    (folder / "text.h5").write_text("no HDF5")
    with h5py.File(folder / "empty.h5", "w"):
        pass
    whole = (folder / "DEC_model_final.h5").read_bytes()
    (folder / "truncated.h5").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("dims", "n_clusters", "name", "message"),
    [
        (
            [6, 16, 8, 3],
            3,
            "DEC_model_final.h5",
            r"encoder_1 has shapes \[\(16, 16\), \(16,\)\].*\[\(16, 8\), \(8,\)\]",
        ),
        ([6, 16, 16, 3], 4, "DEC_model_final.h5", "its layer clustering has shapes"),
        ([6, 16, 16, 16, 3], 3, "DEC_model_final.h5", "its layer encoder_2"),
        ([6, 16, 16, 3], 3, "ae_weights.h5", "no weights for the layer clustering"),
        ([6, 16, 16, 3], 3, "nothing.h5", "There is no weights file [^,]*nothing.h5: check"),
        ([6, 16, 16, 3], 3, "nothing", "There is no weights file .*nothing, nor .*nothing.h5: check"),
        ([6, 16, 16, 3], 3, "text.h5", "no HDF5 file"),
        ([6, 16, 16, 3], 3, "truncated.h5", "no HDF5 file"),
        ([6, 16, 16, 3], 3, "empty.h5", "not laid out as a model"),
    ],
)
def test_weights_that_do_not_fit_are_told_and_change_nothing(trained, dims, n_clusters, name, message):
    _, folder = trained
    other = DEC(dims, n_clusters)
    before = other.model.get_weights()
    with pytest.raises(InputError, match=message):
        other.load_weights(folder / name)
    assert all((a == b).all() for a, b in zip(before, other.model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maxiter": 0}, "maxiter is 0"),
        ({"maxiter": 1.5}, "maxiter is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "many"}, "batch_size is many"),
        ({"update_interval": -1}, "update_interval is -1"),
        ({"tol": 1.5}, "tol is 1.5"),
        ({"tol": float("nan")}, "tol is nan"),
    ],
)
def test_fit_tells_arguments_out_of_range(dec, blobs, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        dec.fit(blobs[0], save_dir=tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("n_clusters", [0, -1, 2.5, None])
def test_bad_numbers_of_clusters_are_told(n_clusters):
    with pytest.raises(InputError, match="n_clusters"):
        DEC([6, 3], n_clusters)


def test_bad_samples_are_told(dec, blobs, tmp_path):
    x, y = blobs
    for call in (dec.predict, dec.extract_features, dec.fit, dec.pretrain):
        with pytest.raises(InputError, match="5 features and the model takes 6"):
            call(x[:, :5])
    with pytest.raises(InputError, match="one label for each of the 100"):
        dec.fit(x, y[:-1], save_dir=tmp_path)
    with pytest.raises(InputError, match="2 samples for 3 clusters"):
        dec.fit(x[:2], save_dir=tmp_path)
    x = x.copy()
    x[3, 2] = np.nan
    with pytest.raises(InputError, match="row 3, column 2"):
        dec.pretrain(x, save_dir=tmp_path)


def test_importing_dec_neither_parses_arguments_nor_trains(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import DEC; print(DEC.DEC.name)"
    arguments = [sys.executable, "-c", code, str(ROOT), "--nonsense"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "DEC\n"
    assert list(tmp_path.iterdir()) == []


def test_seeds_constructor_and_methods_are_there():
    init = keras.initializers.VarianceScaling(scale=1 / 3, mode="fan_in", distribution="uniform")
    dec = DEC(dims=[6, 8, 2], n_clusters=2, alpha=1.0, init=init)
    for name in ("pretrain", "compile", "fit", "predict", "extract_features", "load_weights", "target_distribution"):
        assert callable(getattr(dec, name))
    dec.compile(optimizer="sgd", loss="mse")
    assert dec.model.loss == "mse"
    assert [model.name for model in (dec.autoencoder, dec.encoder, dec.model)] == ["AE", "encoder", "DEC"]
