"""Code in the style of DEC-keras, IDEC and IDEC-toy runs: their names, orders of arguments and defaults."""

import csv
import inspect
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.initializers import VarianceScaling
from keras.models import Model
from keras.optimizers import SGD
from sklearn.cluster import KMeans

import datasets
from DEC import DEC, ClusteringLayer, autoencoder, cluster_acc
from dec_keras import metrics
from dec_keras.data.datasets import IDX_FILES
from dec_keras.errors import InputError
from IDEC import IDEC
from tests.helpers import DIMS, read_log, three_groups


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """Scripts of the seeds write beside themselves."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def ae_weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    keras.utils.set_random_seed(1)
    DEC(DIMS, 3, seed=0).pretrain(three_groups()[0], epochs=30, save_dir=folder)
    return str(folder / "ae_weights.h5")


# Their main scripts.


def test_script_of_dec_keras(blobs):
    x, y = blobs
    n_clusters = len(np.unique(y))
    init = VarianceScaling(scale=1.0 / 3.0, mode="fan_in", distribution="uniform")
    pretrain_optimizer = SGD(learning_rate=1.0, momentum=0.9)
    dec = DEC(dims=[x.shape[-1], 16, 16, 3], n_clusters=n_clusters, init=init)
    dec.pretrain(x=x, y=y, optimizer=pretrain_optimizer, epochs=2, batch_size=256, save_dir="results")
    dec.autoencoder.load_weights("results/ae_weights.h5")
    dec.model.summary()
    dec.compile(optimizer=SGD(0.01, 0.9), loss="kld")
    y_pred = dec.fit(x, y=y, tol=0.001, maxiter=2e1, batch_size=256, update_interval=10, save_dir="results")
    assert metrics.acc(y, y_pred) > 0.9
    dec.load_weights("results/DEC_model_final.h5")
    np.testing.assert_array_equal(dec.predict(x), y_pred)
    assert dec.extract_features(x).shape == (100, 3)


def test_sweep_of_dec_keras_shares_an_optimizer_between_trials(blobs):
    x, y = blobs
    pretrain_optimizer, last = SGD(learning_rate=1.0, momentum=0.9), []
    for i in range(2):
        dec = DEC(dims=DIMS, n_clusters=3, init="glorot_uniform")
        dec.pretrain(x=x, y=y, optimizer=pretrain_optimizer, epochs=1, save_dir=f"trial{i}")
        dec.compile(optimizer=SGD(0.01, 0.9), loss="kld")
        dec.fit(x, y=y, update_interval=2, maxiter=4, save_dir=f"trial{i}")
        with open(f"trial{i}/dec_log.csv") as log:
            last.append([(row["acc"], row["nmi"], row["ari"]) for row in csv.DictReader(log)][-1])
    assert np.asarray(last, dtype=float).mean() > 0.9


def test_script_of_the_idec_repos_dec(blobs, ae_weights):
    x, y = blobs
    dec = DEC(dims=DIMS, n_clusters=3, batch_size=50)
    dec.initialize_model(optimizer=SGD(learning_rate=0.01, momentum=0.9), ae_weights=ae_weights)
    y_pred = dec.clustering(x, y=y, tol=0.0, maxiter=4, update_interval=2)
    assert cluster_acc(y, y_pred) > 0.9
    assert [row["iter"] for row in read_log("results/dec/dec_log.csv")] == ["0", "2", "4"]
    assert Path("results/dec/DEC_model_final.h5").is_file()
    np.testing.assert_array_equal(dec.predict_clusters(x), y_pred)
    np.testing.assert_array_equal(dec.extract_feature(x), dec.extract_features(x))
    assert dec.model.optimizer.momentum == 0.9


def test_script_of_the_idec_repos_idec(blobs, ae_weights):
    x, y = blobs
    idec = IDEC(dims=DIMS, n_clusters=3, batch_size=50)
    idec.initialize_model(ae_weights=ae_weights, gamma=0.1, optimizer=SGD(learning_rate=0.1, momentum=0.99))
    y_pred = idec.clustering(x, y=y, tol=0.0, maxiter=4, update_interval=2)
    assert cluster_acc(y, y_pred) > 0.9
    assert {"L", "Lc", "Lr"} < set(read_log("results/idec/idec_log.csv")[-1])
    idec.load_weights(weights_path="results/idec/IDEC_model_final.h5")
    np.testing.assert_array_equal(idec.predict_clusters(x), y_pred)


@pytest.mark.parametrize(
    ("method", "losses"), [(DEC, {"loss": "kld"}), (IDEC, {"loss": ["kld", "mse"], "loss_weights": [0.1, 1]})]
)
@pytest.mark.parametrize("optimizer", ["adam", SGD(0.01, 0.9)])
def test_scripts_of_idec_toy(blobs, method, losses, optimizer):
    x, y = blobs
    model = method(dims=DIMS, n_clusters=3)
    model.model.summary()
    model.pretrain(x, batch_size=256, epochs=2, optimizer=optimizer)
    model.compile(optimizer=optimizer, **losses)
    options = {"tol": 0.001, "maxiter": 4, "update_interval": 2, "ae_weights": None, "save_dir": "results/toy"}
    model.fit(x, y=y, batch_size=256, **options)
    assert cluster_acc(y, model.y_pred) > 0.9
    assert Path(f"results/toy/{method.__name__}_model_final.h5").is_file()


@pytest.mark.parametrize("method", [DEC, IDEC])
def test_loops_of_ones_own(blobs, ae_weights, method):
    x, y = blobs
    model = method(DIMS, 3)
    model.initialize_model(optimizer="adam", ae_weights=ae_weights)
    features = Model(model.model.input, model.model.get_layer(f"encoder_{model.n_stacks - 1}").output)
    kmeans = KMeans(n_clusters=3, n_init=20).fit(features.predict(x, verbose=0))
    model.model.get_layer(name="clustering").set_weights([kmeans.cluster_centers_])
    for _ in range(2):
        q = model.model.predict(x, verbose=0)
        q = q[0] if method is IDEC else q
        p = model.target_distribution(q)
        model.model.train_on_batch(x=x[:50], y=[p[:50], x[:50]] if method is IDEC else p[:50])
    assert cluster_acc(y, q.argmax(1)) > 0.9


# Attributes and arguments.


def test_attributes(blobs):
    dec = DEC(DIMS, 3)
    assert (dec.input_dim, dec.n_stacks, dec.pretrained, dec.y_pred) == (6, 3, False, None)
    dec.pretrain(blobs[0], epochs=1)
    labels = dec.fit(blobs[0], maxiter=1, update_interval=1)
    assert dec.pretrained
    np.testing.assert_array_equal(dec.y_pred, labels)
    np.testing.assert_array_equal(dec.centers, dec.model.get_layer("clustering").clusters)
    again = DEC(DIMS, 3)
    again.pretrained = True
    assert again.pretrained


@pytest.mark.parametrize("method", [DEC, IDEC])
def test_fourth_argument_is_an_initializer_or_a_batch_size(method):
    assert method(DIMS, 3, 1.0, 50).batch_size == 50
    assert method(DIMS, 3, 1.0, "zeros").encoder.get_weights()[0].max() == 0
    shifted = method(DIMS, 3, 1.0, 50, "zeros", 7)
    assert (shifted.batch_size, shifted.seed, shifted.encoder.get_weights()[0].max()) == (50, 7, 0)
    with pytest.raises(InputError, match="batch_size is 0"):
        method(DIMS, 3, batch_size=0)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((256, 2, "sgd"), {}),
        ((np.int64(256), 2), {"optimizer": "sgd"}),
        ((256,), {"optimizer": "sgd", "epochs": 2}),
        ((None, "sgd", 2, 256), {}),
    ],
)
def test_pretrain_takes_either_order(blobs, monkeypatch, args, options):
    calls = []
    monkeypatch.setattr("DEC.pretrain", lambda *args, **options: calls.append(options))
    DEC(DIMS, 3).pretrain(blobs[0], *args, **options)
    assert (calls[0]["epochs"], calls[0]["batch_size"]) == (2, 256)
    assert type(calls[0]["optimizer"]) is SGD


@pytest.mark.parametrize("call", ["pretrain", "fit", "clustering"])
@pytest.mark.parametrize("shape", [(100, 6), (100, 2, 3)])
def test_samples_in_place_of_labels_are_refused(blobs, call, shape):
    x = blobs[0]
    with pytest.raises(InputError, match="leave y out"):
        getattr(DEC(DIMS, 3), call)(x=x.reshape(shape), y=x)
    with pytest.raises(InputError, match="leave y out"):
        getattr(DEC(DIMS, 3), call)(x, x)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {"loss": ["kld", "mse"], "loss_weights": [0.5, 1], "optimizer": "sgd"}),
        ((["kld", "mse"], [0.5, 1], "sgd"), {}),
        ((), {"loss_weights": (0.5, 1), "optimizer": "sgd"}),
        ((), {"loss": {"decoder_0": "mse", "clustering": "kld"}, "loss_weights": [0.5, 1], "optimizer": "sgd"}),
        (("sgd", 0.5), {}),
    ],
)
def test_idec_compiles_by_losses_or_gamma(blobs, args, options):
    x, idec = blobs[0], IDEC(DIMS, 3)
    idec.compile(*args, **options)
    targets = [np.eye(3)[np.zeros(100, int)], np.zeros_like(x)]
    losses = idec.model.evaluate(x, targets, batch_size=100, verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(0.5 * losses["clustering_loss"] + losses["decoder_0_loss"], rel=1e-5)
    assert type(idec.model.optimizer) is SGD


def test_losses_without_weights_count_alike():
    idec = IDEC(DIMS, 3)
    idec.compile(loss=["kld", "mae"], optimizer="adam")
    compiled = idec.model.get_compile_config()
    assert (compiled["loss"], compiled["loss_weights"]) == (["kld", "mae"], [1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "kld"}, "loss is 'kld': give two"),
        ({"loss_weights": [0.1]}, "loss_weights is .0.1.: give two"),
        ({"loss_weights": ["much", 1]}, "a weight of loss_weights is much"),
        ({"loss": ["kld", "mse"], "gamma": 0.1}, "give gamma, or loss"),
    ],
)
def test_unfit_losses_are_told(options, message):
    with pytest.raises(InputError, match=message):
        IDEC(DIMS, 3).compile(**options)


@pytest.mark.parametrize("args", [("kld", "adam"), ("adam", "kld"), ("adam",), ("kld",)])
def test_dec_compiles_in_either_order(args):
    dec = DEC(DIMS, 3)
    dec.compile(*args)
    assert type(dec.model.optimizer) is keras.optimizers.Adam
    assert dec.model.get_compile_config()["loss"] == "kld"


def test_fit_loads_or_pretrains_as_idec_toy(blobs, ae_weights, recorded):
    pretrained, calls = DEC(DIMS, 3), recorded(DEC, "pretrain")
    pretrained.fit(blobs[0], ae_weights=ae_weights, maxiter=1, update_interval=1)
    kernel = DEC(DIMS, 3)
    kernel.autoencoder.load_weights(ae_weights)
    wanted = kernel.autoencoder.get_layer("decoder_0").get_weights()[0]  # which DEC does not train
    np.testing.assert_array_equal(pretrained.autoencoder.get_layer("decoder_0").get_weights()[0], wanted)
    assert not calls

    dec, short = DEC(DIMS, 3), {"maxiter": 1, "update_interval": 1, "save_dir": "here"}
    dec.fit(blobs[0], **short)
    assert not calls  # as DEC-keras, whose fit knows no ae_weights
    dec.fit(blobs[0], ae_weights=None, batch_size=50, **short)
    assert (calls[0]["batch_size"], calls[0]["save_dir"]) == (50, "here")
    dec.fit(blobs[0], ae_weights=None, **short)
    assert len(calls) == 1
    with pytest.raises(InputError, match="no weights file nowhere"):
        dec.fit(blobs[0], ae_weights="nowhere")


def test_unclear_order_of_fit_is_refused(dec, blobs):
    with pytest.raises(InputError, match=r"maxiter and batch_size .* name them"):
        dec.fit(*blobs, 256, 2e4)
    assert len(dec.fit(*blobs, 2, 50, 1e-3, 1)) == 100  # DEC-keras'


def test_autoencoder_is_a_pair_and_a_model(blobs):
    x = blobs[0]
    ae, encoder = autoencoder(DIMS, act="relu", init="glorot_uniform")
    assert (ae.name, encoder.output.shape) == ("AE", (None, 3))

    ae = autoencoder(DIMS)
    ae.compile(loss="mse", optimizer="adam")
    ae.fit(x, x, batch_size=50, epochs=1, verbose=0)
    hidden = ae.get_layer(name="encoder_2").output
    q = ClusteringLayer(3, name="clustering")(hidden)
    model = Model(inputs=ae.input, outputs=[q, ae.output])
    np.testing.assert_allclose(model.predict(x, verbose=0)[1], ae(x), atol=1e-6)
    ae.trainable = False
    assert not ae[0].trainable


# Data sets.


def test_loaders_have_the_seeds_arguments():
    paths = {name: f"./data/{name}" for name in ("usps", "reuters", "stl", "pendigits")}
    for name, path in paths.items():
        parameters = inspect.signature(getattr(datasets, f"load_{name}")).parameters
        assert {key: value.default for key, value in parameters.items()} == {"data_path": path}
    assert not inspect.signature(datasets.load_mnist).parameters
    assert not inspect.signature(datasets.load_fashion_mnist).parameters
    np.testing.assert_array_equal(datasets.load_data(dataset_name="digits")[0], datasets.load_data("digits")[0])


@pytest.fixture
def pendigits(tmp_path, monkeypatch):
    """Two folders of it: data/pendigits here, of five samples, and one in DEC_DATA_DIR, of three."""

    def write(folder, n):
        folder.mkdir(parents=True)
        rows = [",".join(["50"] * 16 + [str(i)]) + "\n" for i in range(n)]
        (folder / "pendigits.tra").write_text("".join(rows[:-1]))
        (folder / "pendigits.tes").write_text(rows[-1])

    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path / "kept"))
    write(tmp_path / "kept/pendigits", 3)
    write(tmp_path / "data/pendigits", 5)
    return write


@pytest.mark.parametrize("data_path", [(), ("data/pendigits",), ("./data/pendigits/",)])
def test_default_folder_comes_first_and_may_lack_the_files(pendigits, data_path):
    x, y = datasets.load_pendigits(*data_path)
    assert (x.shape, x.max(), y.tolist()) == ((5, 16), 0.5, [0, 1, 2, 3, 4])
    Path("data/pendigits/pendigits.tra").unlink()
    assert len(datasets.load_pendigits(*data_path)[0]) == 3


def test_given_folder_is_the_only_one(pendigits, tmp_path):
    pendigits(tmp_path / "mine", 4)
    assert len(datasets.load_pendigits(data_path=str(tmp_path / "mine"))[0]) == 4
    with pytest.raises(datasets.MissingData, match=r"^No data: pendigits.tra and pendigits.tes not found in nowhere;"):
        datasets.load_pendigits("nowhere")


def test_pickled_reuters_is_told_of(tmp_path):
    np.save("reutersidf10k.npy", {"data": np.ones((3, 2)), "label": np.arange(3)})
    with pytest.raises(datasets.MissingData, match=r"reutersidf10k.npy is a pickle: see docs/migration.md"):
        datasets.load_reuters(".")
    kept = np.load("reutersidf10k.npy", allow_pickle=True).item()  # the line of docs/migration.md
    np.savez("reutersidf10k.npz", x=kept["data"], y=kept["label"])
    x, y = datasets.load_reuters(".")
    assert (x.tolist(), y.tolist()) == ([[1, 1]] * 3, [0, 1, 2])


def test_stl_features_of_dec_keras(tmp_path):
    np.save("stl_features.npy", np.full((3, 4096), 0.5))
    np.array([1, 2], np.uint8).tofile("train_y.bin")
    np.array([10], np.uint8).tofile("test_y.bin")
    x, y = datasets.load_stl(".")
    assert (x.shape, x.min(), y.tolist()) == ((3, 4096), 0.5, [0, 1, 9])


@pytest.mark.parametrize(("load", "folder"), [("load_mnist", "mnist"), ("load_fashion_mnist", "fmnist")])
def test_images_are_scaled_as_in_dec_keras(tmp_path, monkeypatch, load, folder):
    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path))
    images, labels = np.full((2, 28, 28), 51, np.uint8), np.array([3, 7], np.uint8)
    (tmp_path / folder).mkdir()
    for name, values in zip(IDX_FILES, (images, labels, images, labels), strict=True):
        header = np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes()
        (tmp_path / folder / name).write_bytes(header + values.tobytes())
    x, y = getattr(datasets, load)()
    assert (x.shape, y.tolist()) == ((4, 784), [3, 7, 3, 7])
    np.testing.assert_allclose(x, 0.2)


@pytest.mark.skipif("DEC_DATA_DIR" not in os.environ, reason="no real data")
def test_usps_is_scaled_as_in_dec_keras():
    x, y = datasets.load_usps("data/usps")
    assert (x.shape, x.min(), x.max(), y.dtype) == ((9298, 256), 0, 1, np.int64)
    np.testing.assert_array_equal(x, datasets.load_data("usps")[0])
