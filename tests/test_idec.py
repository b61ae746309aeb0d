import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from DEC import DEC
from dec_keras.errors import InputError
from dec_keras.method.initial_centers import kmeans_start
from dec_keras.method.protocols import get_settings
from dec_keras.runs.command_line import parse_run
from IDEC import IDEC
from tests import helpers
from tests.helpers import DIMS, numpy_p, numpy_q


@pytest.fixture
def idec():
    keras.utils.set_random_seed(0)
    return IDEC(DIMS, n_clusters=3, batch_size=50, seed=0)


def test_loss_is_reconstruction_plus_gamma_times_clustering(idec, blobs):
    x, _ = blobs
    idec.compile("sgd", gamma=0.3)
    q, reconstruction = idec.model.predict(x, verbose=0)
    z, mu = idec.extract_features(x), idec.model.get_layer("clustering").get_weights()[0]
    np.testing.assert_allclose(q, numpy_q(z.astype("float64"), mu.astype("float64"), 1.0), atol=1e-5)
    p = numpy_p(q.astype("float64"))
    clustering = (p * np.log(p / q)).sum(1).mean()
    mse = np.square(x - reconstruction).mean()
    losses = idec.model.evaluate(x, [p, x], batch_size=len(x), verbose=0, return_dict=True)
    assert losses["clustering_loss"] == pytest.approx(clustering, abs=1e-5)
    assert losses["decoder_0_loss"] == pytest.approx(mse, abs=1e-5)
    assert losses["loss"] == pytest.approx(mse + 0.3 * clustering, abs=1e-5)


def test_loop_trains_as_the_seeds_does(idec, blobs, tmp_path):
    x, y = blobs
    weights = idec.model.get_weights()
    start, *_ = kmeans_start(idec.extract_features(x), 3, seed=0)
    idec.compile(keras.optimizers.SGD(0.1, 0.9))
    idec.model.get_layer("clustering").set_weights([start])
    for iteration in range(23):  # four batches an epoch: rows 0-31, 32-63, 64-95, 96-99
        if iteration % 7 == 0:
            p = numpy_p(idec.model.predict(x, verbose=0)[0])
        rows = slice(iteration % 4 * 32, (iteration % 4 + 1) * 32)
        idec.model.train_on_batch(x[rows], [p[rows], x[rows]])
    expected = idec.model.get_weights()

    idec.model.set_weights(weights)
    idec.compile(keras.optimizers.SGD(0.1, 0.9))
    idec.fit(x, y, maxiter=23, batch_size=32, tol=0, update_interval=7, save_dir=tmp_path)
    for trained, wanted in zip(idec.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(trained, wanted, atol=1e-5)
    decoder = idec.autoencoder.get_layer("decoder_0").kernel.numpy()
    assert np.abs(decoder - weights[-2]).max() > 1e-4  # the decoder is trained, unlike DEC's


def test_decoder_of_dec_stays(dec, blobs, tmp_path):
    before = dec.autoencoder.get_layer("decoder_0").get_weights()
    dec.fit(blobs[0], maxiter=5, update_interval=5, save_dir=tmp_path)
    np.testing.assert_array_equal(dec.autoencoder.get_layer("decoder_0").get_weights()[0], before[0])


def test_log_and_files_have_the_idec_repos_names(idec, blobs, tmp_path):
    x, y = blobs
    labels = idec.clustering(x, y, tol=0, update_interval=2, maxiter=11, save_dir=tmp_path)
    with open(tmp_path / "idec_log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iter", "acc", "nmi", "ari", "L", "Lc", "Lr", "delta_label"]
    last = {name: float(rows[-1][name]) for name in ("L", "Lc", "Lr")}
    assert last["L"] == pytest.approx(last["Lr"] + 0.1 * last["Lc"], abs=2e-5)
    assert {path.name for path in tmp_path.glob("*.h5")} == {
        "IDEC_model_0.h5",
        "IDEC_model_final.h5",
    }

    q, reconstruction = keras.models.load_model(tmp_path / "IDEC_model_final.h5").predict(x, verbose=0)
    np.testing.assert_array_equal(q.argmax(1), labels)
    assert reconstruction.shape == x.shape
    again = IDEC(DIMS, 3)
    again.load_weights(tmp_path / "IDEC_model_final")
    np.testing.assert_array_equal(again.predict_clusters(x), labels)
    np.testing.assert_array_equal(again.extract_feature(x), idec.extract_features(x))


def test_idec_model_serves_dec_too(idec, blobs, tmp_path):
    x, _ = blobs
    labels = idec.fit(x, maxiter=4, update_interval=2, save_dir=tmp_path)
    dec = DEC(DIMS, 3)
    dec.load_weights(tmp_path / "IDEC_model_final.h5")
    np.testing.assert_array_equal(dec.predict(x), labels)


def test_initialize_model_loads_the_autoencoder(idec, blobs, tmp_path):
    x, _ = blobs
    idec.pretrain(x, epochs=1, save_dir=tmp_path)
    again = IDEC(DIMS, 3)
    again.initialize_model(ae_weights=tmp_path / "ae_weights", gamma=0.2, optimizer="adam")
    np.testing.assert_array_equal(again.extract_features(x), idec.extract_features(x))
    targets = again.model.predict(x[::-1], verbose=0)
    losses = again.model.evaluate(x, targets, batch_size=len(x), verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(losses["decoder_0_loss"] + 0.2 * losses["clustering_loss"], rel=1e-5)


def weights_and_gradients(idec, x, p):
    with tf.GradientTape() as tape:
        loss = idec.model.compute_loss(x, [p, x], idec.model(x))
    weights = idec.model.trainable_weights
    return weights, tape.gradient(loss, [weight.value for weight in weights])


def test_without_gamma_the_clustering_loss_moves_nothing(idec, blobs):
    x, _ = blobs
    p = numpy_p(idec.soft_labels(x)).astype("float32")
    idec.compile("sgd", gamma=0)
    weights, gradients = weights_and_gradients(idec, x, p)
    with tf.GradientTape() as tape:
        mse = tf.reduce_mean(tf.square(idec.autoencoder(x) - x))
    variables = [weight.value for weight in weights]
    of_mse = tape.gradient(mse, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    for weight, gradient, wanted in zip(weights, gradients, of_mse, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-7, err_msg=weight.path)
    assert np.abs(gradients[0]).max() > 0

    idec.compile("sgd", gamma=0.1)
    _, with_gamma = weights_and_gradients(idec, x, p)
    assert np.abs(with_gamma[0] - gradients[0]).max() > 1e-6


def float64_loss(weights, x, p, gamma):
    """IDEC's loss in plain NumPy; weights in the order of the model's layers."""

    def dense(h, name, relu):
        h = h @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        return np.maximum(h, 0) if relu else h

    z = dense(dense(dense(x, "encoder_0", True), "encoder_1", True), "encoder_2", False)
    y = dense(dense(dense(z, "decoder_2", True), "decoder_1", True), "decoder_0", False)
    q = numpy_q(z, weights["clustering/clusters"], 1.0)
    return np.square(x - y).mean() + gamma * (p * np.log(p / q)).sum(1).mean()


def test_gradient_agrees_with_finite_differences(idec, blobs):
    x, _ = blobs
    p = numpy_p(idec.soft_labels(x).astype("float64"))
    idec.compile("sgd", gamma=0.7)
    variables, gradients = weights_and_gradients(idec, x, p.astype("float32"))
    weights = {variable.path: variable.numpy().astype("float64") for variable in variables}
    rng = np.random.default_rng(0)
    for variable, gradient in zip(variables, gradients, strict=True):
        value = weights[variable.path]
        for _ in range(4):
            at = tuple(rng.integers(value.shape))
            kept, losses = value[at], []
            for step in (1e-6, -1e-6):
                value[at] = kept + step
                losses.append(float64_loss(weights, x.astype("float64"), p, 0.7))
            value[at] = kept
            assert gradient.numpy()[at] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-5), variable.path


@pytest.mark.parametrize("gamma", [-1, float("nan"), "much"])
def test_bad_gamma_is_told(idec, gamma):
    with pytest.raises(InputError, match="gamma is"):
        idec.compile(gamma=gamma)


@pytest.mark.parametrize(
    ("dataset", "optimizer", "interval"), [("mnist", "Adam", 140), ("usps", "SGD", 30), ("reuters10k", "SGD", 3)]
)
@pytest.mark.parametrize("protocol", ["dec-keras", "idec"])
def test_settings_are_the_idec_repos(dataset, optimizer, interval, protocol):
    settings = get_settings(dataset, protocol, "IDEC")
    assert settings.update_interval == interval
    assert settings.optimizer["class_name"] == optimizer
    if optimizer == "SGD":
        assert settings.optimizer["config"] == {"learning_rate": 0.1, "momentum": 0.99}


def test_command_line_runs_on_weights_that_dec_pretrained(blobs, tmp_path, capsys):
    np.savez(tmp_path / "blobs.npz", x=blobs[0], y=blobs[1])
    short = ["--pretrain_epochs", "2", "--maxiter", "3", "--update_interval", "2", "--tol", "0"]
    data = ["--dataset", str(tmp_path / "blobs.npz")]
    helpers.command(DEC, [*data, *short, "--save_dir", str(tmp_path / "dec")])
    weights = str(tmp_path / "dec" / "ae_weights.h5")
    helpers.command(
        IDEC, [*data, *short, "--save_dir", str(tmp_path / "idec"), "--ae_weights", weights, "--gamma", "0.5"]
    )
    logs = tmp_path / "dec" / "dec_log.csv", tmp_path / "idec" / "idec_log.csv"
    first, second = (log.read_text().splitlines()[1] for log in logs)
    assert first.split(",")[:4] == second.split(",")[:4]  # both start from the same k-means
    assert "gamma            0.5" in capsys.readouterr().out
    assert parse_run("IDEC", ["mnist"])[1].save_dir.as_posix() == "results/idec"
