"""The equations against plain float64 NumPy, the layer, and the loop against the seed's written out batch by batch."""

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from scipy.special import softmax
from scipy.stats import multivariate_normal as normal
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_moons
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_info

from DEC import DEC
from dec_keras import metrics
from dec_keras.errors import InputError, check_assigned
from dec_keras.method import clustering, initial_centers
from dec_keras.method.initial_centers import Start, auto_start, gmm_start, kmeans_start, manifold_start
from dec_keras.method.model import ClusteringLayer, soft_assign, target_distribution
from tests.helpers import DIMS, numpy_p, numpy_q, read_log


@pytest.fixture
def codes():
    rng = np.random.default_rng(1)
    return rng.normal(size=(50, 4)) * 2, rng.normal(size=(5, 4)) * 2


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_soft_assignment_agrees_with_numpy(codes, alpha):
    z, mu = codes
    q = soft_assign(z.astype("float32"), mu.astype("float32"), alpha)
    np.testing.assert_allclose(q, numpy_q(z, mu, alpha), atol=1e-6, rtol=1e-5)


def test_one_degree_of_freedom_is_the_default(codes):
    z, mu = codes[0].astype("float32"), codes[1].astype("float32")
    for q in (soft_assign(z, mu), ClusteringLayer(5, weights=mu)(z)):
        np.testing.assert_allclose(q, numpy_q(*codes, 1.0), atol=1e-6, rtol=1e-5)


def test_target_distribution_agrees_with_numpy(codes):
    q = numpy_q(*codes, 1.0)
    p = target_distribution(q.astype("float32"))
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, numpy_p(q), atol=1e-6, rtol=1e-5)
    np.testing.assert_allclose(DEC.target_distribution(q), numpy_p(q), rtol=1e-12)


def test_target_distribution_of_many_samples_keeps_float32s_precision():
    q = np.random.default_rng(0).dirichlet(np.ones(10), size=200_000)
    np.testing.assert_allclose(target_distribution(q.astype("float32")), numpy_p(q), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_loss_and_gradients_are_the_papers(codes, alpha):
    """KL(P || Q), eq. 2, and its gradients, eq. 4 and 5, averaged over the batch; z and mu in float64."""
    z, mu = codes
    q = numpy_q(z, mu, alpha)
    p = numpy_p(q)
    kernel = 1 / (1 + ((z[:, None] - mu) ** 2).sum(2) / alpha)
    pull = ((alpha + 1) / alpha * kernel * (p - q))[:, :, None] * (z[:, None] - mu) / len(z)

    layer = ClusteringLayer(5, weights=mu.astype("float32"), alpha=alpha)
    z32 = tf.constant(z, "float32")
    with tf.GradientTape() as tape:
        tape.watch(z32)
        q32 = layer(z32)
        loss = keras.losses.get("kld")(tf.constant(p, "float32"), q32)
        loss = tf.reduce_mean(loss)
    grad_z, grad_mu = tape.gradient(loss, [z32, layer.clusters.value])

    np.testing.assert_allclose(loss, (p * np.log(p / q)).sum(1).mean(), atol=1e-5)
    np.testing.assert_allclose(grad_z, pull.sum(1), atol=1e-5)
    np.testing.assert_allclose(grad_mu, -pull.sum(0), atol=1e-5)


def test_layer_starts_from_given_weights(codes):
    z, mu = codes
    for weights in (mu, [mu]):
        layer = ClusteringLayer(5, weights=weights)
        layer(z.astype("float32"))
        np.testing.assert_allclose(layer.get_weights()[0], mu, rtol=1e-6)


def test_layer_of_one_cluster_takes_its_centre():
    layer = ClusteringLayer(1, weights=np.ones((1, 4)))
    np.testing.assert_array_equal(layer(np.zeros((2, 4), "float32")), [[1.0], [1.0]])
    np.testing.assert_array_equal(layer.get_weights()[0], np.ones((1, 4)))


def test_layer_tells_its_outputs_shape():
    assert ClusteringLayer(5).compute_output_shape((7, 4)) == (7, 5)


def test_layer_tells_weights_of_a_wrong_shape(codes):
    z, mu = codes
    with pytest.raises(InputError, match=r"\(5, 4\).*\(6, 4\)"):
        ClusteringLayer(6, weights=mu)(z)


@pytest.mark.parametrize(("arguments", "message"), [({"n_clusters": 0}, "n_clusters"), ({"alpha": 0}, "alpha")])
def test_layer_tells_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        ClusteringLayer(**{"n_clusters": 3, **arguments})


def test_alpha_is_honoured_and_survives_saving(tmp_path, blobs):
    x, _ = blobs
    dec = DEC(DIMS, n_clusters=3, alpha=5.0)
    z, mu = dec.extract_features(x), dec.model.get_layer("clustering").get_weights()[0]
    np.testing.assert_allclose(dec.soft_labels(x), numpy_q(z, mu, 5.0), rtol=1e-4)
    for name in ("model.h5", "model.keras"):
        dec.model.save(tmp_path / name)
        loaded = keras.models.load_model(tmp_path / name)
        assert loaded.get_layer("clustering").alpha == 5.0
        np.testing.assert_allclose(loaded.predict(x, verbose=0), dec.soft_labels(x), rtol=1e-6)


def test_kmeans_start_is_the_best_of_20_restarts_and_repeatable():
    codes = np.random.default_rng(0).normal(size=(300, 5)).astype("float32")
    centers, *_ = kmeans_start(codes, 30, seed=3)
    again, *_ = kmeans_start(codes, 30, seed=3)
    of_sparse, *_ = kmeans_start(scipy.sparse.csr_matrix(codes), 30, seed=3)
    assert of_sparse.shape == centers.shape
    np.testing.assert_array_equal(centers, again)
    of_20, of_10 = (KMeans(30, n_init=n, random_state=3).fit(codes).cluster_centers_ for n in (20, 10))
    np.testing.assert_allclose(centers, of_20, atol=1e-6)
    assert np.abs(of_20 - of_10).max() > 0.01  # so that fewer restarts would show


def test_starts_use_one_thread():
    with initial_centers._repeatable():
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}


def test_fewer_different_codes_than_clusters_are_told_once(capsys):
    kmeans_start(np.repeat(np.eye(3, dtype="float32"), 10, axis=0), 5, seed=0)
    assert "only 3 different codes for 5 clusters" in capsys.readouterr().out
    kmeans_start(np.repeat(np.eye(3, dtype="float32"), 10, axis=0), 3, seed=0)
    assert capsys.readouterr().out == ""


def test_the_first_sample_without_a_cluster_is_told():
    q = np.full((8, 2), 0.5)
    check_assigned(q)
    q[[2, 5]] = np.nan
    with pytest.raises(InputError, match="2 of 8 samples, the first in row 2,"):
        check_assigned(q)


def test_past_a_number_of_codes_the_starts_take_less_and_say_so(capsys, monkeypatch):
    monkeypatch.setattr("dec_keras.method.initial_centers.MANY_CODES", 300)
    codes, y = make_blobs(1000, n_features=3, centers=4, cluster_std=0.3, random_state=0)
    for start, message in ((kmeans_start, "k-means in mini-batches"), (gmm_start, "fitted to 300 of the codes")):
        centers, labels, *_ = start(codes, 4, seed=1)
        again, *_ = start(codes, 4, seed=1)
        np.testing.assert_array_equal(centers, again)
        assert centers.shape == (4, 3)
        assert metrics.acc(y, labels) > 0.99
        assert message in capsys.readouterr().out
        start(codes[:300], 4, seed=1)
        assert message not in capsys.readouterr().out


def test_gmm_start_tells_stretched_clusters_apart_where_kmeans_cuts_them():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 500)
    codes = rng.normal(size=(1000, 2)) * [10, 0.2] + np.c_[np.zeros(1000), 3 * y]
    centers, labels, *_ = gmm_start(codes, 2, seed=0)
    assert metrics.acc(y, labels) > 0.99 > 0.7 > metrics.acc(y, kmeans_start(codes, 2, seed=0)[1])
    np.testing.assert_allclose(np.sort(centers[:, 1]), [0, 3], atol=0.1)


def test_gmm_start_takes_the_restart_of_highest_icl_for_equal_proportions(monkeypatch):
    codes = np.random.default_rng(0).normal(size=(300, 2))
    restarts, restart = [], initial_centers._restart

    def recorded(*args):
        restarts.append(restart(*args))
        return restarts[-1]

    monkeypatch.setattr("dec_keras.method.initial_centers._restart", recorded)
    centers, labels, *_ = gmm_start(codes, 8, seed=3)
    assert len(restarts) == 30
    for icl, init in restarts:  # written out from the components' densities
        weights, means, precisions = init["weights_init"], init["means_init"], init["precisions_init"]
        parts = zip(means, precisions, strict=True)
        joint = np.log(weights) + np.stack([normal(m, np.linalg.inv(p)).logpdf(codes) for m, p in parts], axis=1)
        shares = softmax(joint, axis=1)
        expected = (shares * joint).sum(1).mean() - weights @ np.log(weights) - np.log(8)
        assert icl == pytest.approx(expected, abs=1e-6)
    best = max(restarts, key=lambda found: found[0])[1]
    likeliest = max(restarts, key=lambda found: GaussianMixture(8, **found[1]).fit(codes).lower_bound_)[1]
    assert likeliest is not best  # so that taking the likeliest would show
    mixture = GaussianMixture(8, max_iter=300, **best).fit(codes)
    np.testing.assert_allclose(centers, mixture.means_)
    np.testing.assert_array_equal(labels, mixture.predict(codes))


def test_a_mixtures_restarts_begin_in_turn_from_kmeans_and_from_random_codes():
    codes = np.random.default_rng(0).normal(size=(200, 2))
    for i, init in enumerate(("kmeans", "random_from_data", "kmeans", "random_from_data")):
        _, found = initial_centers._restart(codes, 4, i, np.random.RandomState(7))
        seed = np.random.RandomState(7).randint(2**31 - 1)
        expected = GaussianMixture(4, init_params=init, random_state=seed).fit(codes)
        np.testing.assert_array_equal(found["means_init"], expected.means_)


@pytest.fixture(scope="module")
def moons():
    """Two clusters that are no ellipsoids: codes float32 of shape (200, 2), y of shape (200,).

    UMAP with 20 neighbours finds both, whatever the seed and the CPU; among more samples it cuts them by some seeds.
    """
    codes, y = make_moons(200, noise=0.06, random_state=0)
    return codes.astype(np.float32), y


def test_manifold_start_unrolls_clusters_that_a_mixture_cuts(moons, monkeypatch, capsys):
    codes, y = moons
    centers, labels, posterior, _ = manifold_start(codes, 2, seed=0)
    assert metrics.acc(y, labels) > 0.99 > 0.95 > metrics.acc(y, gmm_start(codes, 2, seed=0).labels)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(posterior.argmax(axis=1), labels)
    means = [codes[labels == i].mean(axis=0) for i in range(2)]
    np.testing.assert_allclose(centers, means, atol=0.02)
    np.testing.assert_array_equal(manifold_start(codes, 2, seed=0).posterior, posterior)
    assert "UMAP" not in capsys.readouterr().out
    monkeypatch.setattr("dec_keras.method.initial_centers.MANY_CODES", 180)
    labels, again = (manifold_start(codes, 2, seed=0).labels for _ in range(2))
    np.testing.assert_array_equal(labels, again)
    assert metrics.acc(y, labels) > 0.99  # the others are placed among those that were fitted
    assert "UMAP is fitted to 180 of 200 samples." in capsys.readouterr().out


def test_auto_start_is_kmeans_where_the_manifold_has_no_separate_clusters(moons, capsys):
    codes, _ = moons
    start = auto_start(codes, 2, seed=0, verbose=1)
    assert start.silhouette > 0.5
    assert start.posterior is not None
    assert "on the manifold are separate" in capsys.readouterr().out
    codes = np.random.default_rng(0).uniform(size=(500, 3)).astype(np.float32)
    start = auto_start(codes, 4, seed=0, verbose=1)
    np.testing.assert_array_equal(start.labels, kmeans_start(codes, 4, seed=0).labels)
    assert start.posterior is None
    assert "on the manifold are not separate" in capsys.readouterr().out
    known = manifold_start(codes, 4, seed=0)._replace(silhouette=0.9)
    assert auto_start(codes, 4, seed=0, on_manifold=known) is known


def test_the_result_names_the_start_that_auto_took(dec, blobs, monkeypatch):
    manifold = Start(np.eye(3, dtype="float32"), blobs[1], np.full((100, 3), 1 / 3, "float32"), 0.6)
    for silhouette, name in ((0.6, "manifold"), (0.4, "kmeans")):
        found = manifold._replace(silhouette=silhouette)
        monkeypatch.setattr(initial_centers, "manifold_start", lambda *_, found=found, **__: found)
        dec.fit(blobs[0], start="auto", maxiter=1, save_dir=None)
        assert dec.result.start == name


def test_manifold_start_tells_of_too_few_codes():
    with pytest.raises(InputError, match="more than 20 samples: start from k-means"):
        manifold_start(np.zeros((20, 2), "float32"), 2, seed=0)


def test_a_start_of_ones_own_is_taken(dec, blobs):
    x, y = blobs
    mine = Start(np.arange(9, dtype="float32").reshape(3, 3), y)
    dec.fit(x, start=mine, maxiter=1, save_dir=None)
    np.testing.assert_allclose(dec.centers, mine.centers, atol=0.01)
    np.testing.assert_array_equal(dec.result.start_labels, y)
    with pytest.raises(InputError, match="labels of shape \\(2,\\) for 100 samples"):
        dec.fit(x, start=mine._replace(labels=[0, 1]), save_dir=None)
    with pytest.raises(InputError, match="choose from kmeans, gmm, manifold"):
        dec.fit(x, start="umap", save_dir=None)


def one_of_labels(y):
    """A start that has the labels as its posterior, for y of 3 classes."""
    return Start(np.eye(3, dtype="float32"), y, np.eye(3, dtype="float32")[y])


def test_a_clustering_ends_only_after_its_epochs_of_the_posterior(dec, blobs, monkeypatch):
    monkeypatch.setattr(clustering, "posterior_batches", lambda _: 5)
    x, y = blobs
    for mine, batches in ((one_of_labels(y), 9), (one_of_labels(y)._replace(posterior=None), 3)):
        dec.fit(x, start=mine, update_interval=3, tol=1, save_dir=None)
        assert (dec.result.n_iter, dec.result.stop_reason) == (batches, "tol")


def test_the_learning_rate_falls_while_p_is_the_posterior(dec, blobs, monkeypatch):
    monkeypatch.setattr(clustering, "posterior_batches", lambda _: 4)
    x, y = blobs
    rates = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: rates.append(float(dec.model.optimizer.learning_rate))
    )
    options = {"update_interval": 2, "tol": 0, "maxiter": 8, "save_dir": None, "callbacks": [watch]}
    for mine, schedule, expected in (
        (one_of_labels(y), "cosine", [0.1, 0.055, 0.01, 0.01]),
        (one_of_labels(y), "constant", [0.01] * 4),
        (one_of_labels(y)._replace(posterior=None), "cosine", [0.01] * 4),
    ):
        rates.clear()
        dec.fit(x, start=mine, schedule=schedule, **options)
        assert rates == pytest.approx(expected)
    dec.fit(x, start=one_of_labels(y), schedule="cosine", **options | {"maxiter": 1})
    assert float(dec.model.optimizer.learning_rate) == pytest.approx(0.01)
    with pytest.raises(InputError, match="schedule is 'linear': choose from constant, cosine"):
        dec.fit(x, schedule="linear", save_dir=None)


def test_gmm_start_tells_of_too_few_codes():
    with pytest.raises(InputError, match="too few different codes for a mixture of 5"):
        gmm_start(np.zeros((4, 2), "float32"), 5, seed=0)


def seed_loop(dec, x, start, iterations, batch_size, update_interval):
    """The clustering loop of DEC-keras, written out: P over all samples, batches in order, no empty batch."""
    dec.model.get_layer("clustering").set_weights([start])
    batch = 0
    for iteration in range(iterations):
        if iteration % update_interval == 0:
            p = numpy_p(dec.model.predict(x, verbose=0))
        rows = slice(batch * batch_size, (batch + 1) * batch_size)
        dec.model.train_on_batch(x[rows], p[rows])
        batch = batch + 1 if (batch + 1) * batch_size < len(x) else 0
    return dec.model.get_weights()


@pytest.mark.parametrize(
    "batch_size", [32, 25, 100, 256]
)  # 100 samples: a partial last batch; none; one; more than all
def test_loop_trains_as_the_seeds_does(dec, blobs, tmp_path, batch_size):
    x, y = blobs
    weights = dec.model.get_weights()
    start, *_ = kmeans_start(dec.extract_features(x), 3, seed=0)
    dec.compile(keras.optimizers.SGD(0.1, 0.9))
    expected = seed_loop(dec, x, start, iterations=23, batch_size=batch_size, update_interval=7)

    dec.model.set_weights(weights)
    dec.compile(keras.optimizers.SGD(0.1, 0.9))
    dec.fit(x, y, maxiter=23, batch_size=batch_size, tol=0, update_interval=7, save_dir=tmp_path)
    for trained, wanted in zip(dec.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(trained, wanted, atol=1e-5)
    assert np.abs(weights[0] - expected[0]).max() > 1e-3  # it did train


def test_log_has_a_row_for_every_interval_and_the_end(dec, blobs, tmp_path, capsys):
    x, y = blobs
    labels = dec.fit(x, y, maxiter=23, batch_size=32, tol=0, update_interval=10, save_dir=tmp_path)
    rows = read_log(tmp_path / "dec_log.csv")
    assert list(rows[0]) == ["iter", "acc", "nmi", "ari", "loss", "delta_label"]
    assert [row["iter"] for row in rows] == ["0", "10", "20", "23"]
    assert float(rows[-1]["acc"]) == pytest.approx(metrics.acc(y, labels), abs=1e-5)
    assert rows[0]["loss"] == ""
    assert float(rows[1]["loss"]) > 0
    assert all(float(text) == round(float(text), 5) for row in rows for text in row.values() if text)
    assert rows[-1]["nmi"] == str(round(metrics.nmi(y, labels), 5))
    assert f"Iter 23: acc = {float(rows[-1]['acc']):.5f}, nmi = " in capsys.readouterr().out
    assert (dec.result.n_iter, dec.result.stop_reason) == (23, "maxiter")


def test_training_stops_when_few_labels_change(dec, blobs, tmp_path):
    x, _ = blobs
    dec.fit(x, maxiter=1000, batch_size=32, tol=1, update_interval=5, save_dir=tmp_path)
    assert (dec.result.n_iter, dec.result.stop_reason) == (5, "tol")
    dec.fit(x, maxiter=5, batch_size=32, tol=1, update_interval=5, save_dir=tmp_path)  # at its end anyway
    assert (dec.result.n_iter, dec.result.stop_reason) == (5, "maxiter")


def test_update_interval_0_is_one_epoch(dec, blobs, tmp_path):
    x, _ = blobs
    dec.fit(x, maxiter=8, batch_size=32, tol=0, update_interval=0, save_dir=tmp_path)
    assert [row["iter"] for row in dec.result.log] == [0, 4, 8]


def test_labels_only_score(dec, blobs, tmp_path):
    x, y = blobs
    weights = dec.model.get_weights()
    with_y = dec.fit(x, y, maxiter=10, tol=0, update_interval=5, save_dir=tmp_path / "a")
    dec.model.set_weights(weights)
    dec.compile(keras.optimizers.SGD(0.01, 0.9))
    without_y = dec.fit(x, maxiter=10, tol=0, update_interval=5, save_dir=tmp_path / "b")
    np.testing.assert_array_equal(with_y, without_y)
    assert read_log(tmp_path / "b" / "dec_log.csv")[0]["acc"] == ""


def test_models_are_saved_at_the_start_and_the_end_and_on_the_way_if_asked_to(dec, blobs, tmp_path):
    x, _ = blobs
    labels = dec.fit(x, maxiter=45, batch_size=32, tol=0, update_interval=7, save_dir=tmp_path, save_models=True)
    saved = {path.name for path in tmp_path.iterdir()}
    names = ("DEC_model_0.h5", "DEC_model_20.h5", "DEC_model_40.h5", "DEC_model_final.h5")
    assert saved == {*names, "dec_log.csv"}
    rarely = tmp_path / "rarely"
    options = {"batch_size": 32, "tol": 0, "save_dir": rarely}
    dec.fit(x, maxiter=45, update_interval=30, **options, save_models=True)  # rarer than every five epochs
    assert {path.name for path in rarely.glob("*.h5")} == {"DEC_model_0.h5", "DEC_model_30.h5", "DEC_model_final.h5"}
    start, end = (keras.models.load_model(tmp_path / name) for name in (names[0], names[-1]))
    np.testing.assert_array_equal(end.predict(x, verbose=0).argmax(1), labels)
    np.testing.assert_array_equal(start.predict(x, verbose=0).argmax(1), dec.result.start_labels)
    dec.fit(x, maxiter=45, update_interval=30, **options)
    assert {path.name for path in rarely.glob("*.h5")} == {"DEC_model_0.h5", "DEC_model_final.h5"}


def test_result_is_that_of_the_final_model_when_maxiter_ends_it(dec, blobs, tmp_path):
    x, _ = blobs
    dec.compile(keras.optimizers.SGD(1.0, 0.9))  # large steps: labels of the last refresh would be stale
    labels = dec.fit(x, maxiter=9, batch_size=10, tol=0, update_interval=7, save_dir=tmp_path)
    np.testing.assert_array_equal(labels, dec.predict(x))


def test_diverging_training_is_told_and_saves_no_model(dec, blobs, tmp_path):
    x, _ = blobs
    dec.compile(keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match="lower the optimizer's learning rate"):
        dec.fit(x, maxiter=100, tol=0, update_interval=5, save_dir=tmp_path)
    assert not (tmp_path / "DEC_model_final.h5").exists()
