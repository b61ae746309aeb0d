import pickle
import pickletools
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from DEC import DEC
from dec_keras import metrics
from dec_keras.errors import InputError
from estimators import DECClustering, IDECClustering
from IDEC import IDEC
from tests import helpers

PAGE = Path(__file__).resolve().parent.parent / "docs/python.md"
BOTH = pytest.mark.parametrize("Estimator", [DECClustering, IDECClustering])


def small(Estimator, **parameters):
    defaults = {"n_clusters": 3, "dims": (16, 16, 3), "pretrain_epochs": 60, "maxiter": 20, "update_interval": 5}
    return Estimator(**{**defaults, "random_state": 0, **parameters})


def tiny(Estimator, **parameters):
    return small(Estimator, **{"dims": (8, 2), "pretrain_epochs": 2, "maxiter": 1, **parameters})


eagerly = pytest.mark.usefixtures("without_graphs")


def expected_failed_checks(_):
    return {
        **dict.fromkeys(
            ("check_estimator_sparse_array", "check_estimator_sparse_matrix"),
            "it takes whatever has predict_proba for a classifier; other tests are of sparse X",
        ),
        "check_methods_sample_order_invariance": "a float32 product may differ in its last bit with a row's place",
    }


@eagerly
@pytest.mark.filterwarnings("ignore:Only . of . clusters hold samples")
@parametrize_with_checks([tiny(DECClustering)], expected_failed_checks=expected_failed_checks)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.slow  # it is DECClustering but for its loss
@eagerly
@pytest.mark.filterwarnings("ignore:Only . of . clusters hold samples")
@parametrize_with_checks([tiny(IDECClustering)], expected_failed_checks=expected_failed_checks)
def test_they_pass_for_idec_too(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", [DECClustering, IDECClustering])
def test_the_order_of_samples_changes_no_more_than_the_last_bits(method):
    """What scikit-learn's own check asks for to more digits than float32 has."""
    x = np.random.default_rng(0).uniform(size=(40, 3))
    order = np.random.default_rng(1).permutation(40)
    fitted = tiny(method).fit(x)
    np.testing.assert_array_equal(fitted.predict(x)[order], fitted.predict(x[order]))
    for name in ("transform", "predict_proba"):
        answer = getattr(fitted, name)
        np.testing.assert_allclose(answer(x)[order], answer(x[order]), rtol=1e-6, atol=1e-7)


def test_idec_has_decs_parameters_and_gamma():
    defaults = DECClustering().get_params()
    assert IDECClustering().get_params() == defaults | {"gamma": 0.1}
    assert clone(IDECClustering(4, gamma=2, tol=0)).get_params() == defaults | {"n_clusters": 4, "gamma": 2, "tol": 0}
    with pytest.raises(TypeError, match="positional"):
        IDECClustering(3, 0.1)


@BOTH
def test_it_clusters(Estimator, blobs):
    x, y = blobs
    fitted = small(Estimator).fit(x)
    assert metrics.acc(y, fitted.labels_) == 1.0
    assert fitted.embedding_.shape == (100, 3)
    assert fitted.cluster_centers_.shape == (3, 3)
    nearest = np.linalg.norm(fitted.embedding_[:, None] - fitted.cluster_centers_, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, fitted.labels_)
    assert fitted.stop_reason_ == "tol"
    assert fitted.n_iter_ == fitted.history_[-1]["iter"] == 5
    loss = {"L", "Lc", "Lr"} if Estimator is IDECClustering else {"loss"}
    assert set(fitted.history_[-1]) == {"iter", "delta_label"} | loss


@eagerly
@BOTH
def test_rows_of_the_training_data_keep_their_clusters(Estimator, blobs):
    x, _ = blobs
    fitted = tiny(Estimator, maxiter=7, tol=0).fit(x)
    assert (fitted.stop_reason_, fitted.n_iter_) == ("maxiter", 7)
    for rows in (x, x.astype("float64"), scipy.sparse.csr_array(x), scipy.sparse.coo_array(x), x.tolist()):
        np.testing.assert_array_equal(fitted.predict(rows), fitted.labels_)
        np.testing.assert_array_equal(fitted.transform(rows), fitted.embedding_)
    assert fitted.predict(x[:1]).tolist() == [fitted.labels_[0]]
    np.testing.assert_array_equal(clone(fitted).fit(scipy.sparse.csr_array(x)).embedding_, fitted.embedding_)


@pytest.mark.parametrize(("Estimator", "method"), [(DECClustering, DEC), (IDECClustering, IDEC)])
def test_defaults_and_seed_give_the_command_lines_result(Estimator, method, blobs, tmp_path):
    np.save(tmp_path / "x.npy", blobs[0])
    short = ["--n_clusters", "3", "--pretrain_epochs", "2", "--maxiter", "3", "--seed", "7"]
    files = ["--dataset", str(tmp_path / "x.npy"), "--save_dir", str(tmp_path)]
    dec = helpers.run(method, [*short, *files])
    fitted = Estimator(3, pretrain_epochs=2, maxiter=3, random_state=7).fit(blobs[0])
    np.testing.assert_array_equal(fitted.embedding_, dec.extract_features(blobs[0]))
    np.testing.assert_array_equal(fitted.labels_, dec.result.labels)


@BOTH
def test_lengths_by_default_are_the_command_lines(Estimator, blobs, monkeypatch):
    given = {}

    def keep(phase, epochs_or_interval):
        return lambda dec, *args, **options: given.update({phase: options[epochs_or_interval]})

    monkeypatch.setattr(DEC, "pretrain", keep("pretraining", "epochs"))
    monkeypatch.setattr(DEC, "fit", keep("clustering", "update_interval"))
    with pytest.raises(AttributeError, match="labels"):  # there was no training
        Estimator(3, dims=(8, 2)).fit(blobs[0])
    assert given == {"pretraining": 500, "clustering": 30}


@eagerly
@BOTH
def test_arguments_reach_both_phases(Estimator, blobs, recorded):
    pretrainings, clusterings = recorded(DEC, "pretrain"), recorded(DEC, "fit")
    tiny(Estimator, start="gmm", batch_size=30).fit(blobs[0])
    assert [pretraining["batch_size"] for pretraining in pretrainings] == [30]
    assert [(clustering["batch_size"], clustering["start"]) for clustering in clusterings] == [(30, "gmm")]


@eagerly
def test_gamma_reaches_the_loss(blobs):
    x, _ = blobs
    without, little, much = (tiny(IDECClustering, gamma=gamma, tol=0).fit(x).history_[-1] for gamma in (0, 0.1, 5))
    assert without["L"] == without["Lr"]
    for row, gamma in ((little, 0.1), (much, 5)):
        assert row["L"] == pytest.approx(row["Lr"] + gamma * row["Lc"], abs=5e-5)


@eagerly
def test_random_state_is_an_int_a_generator_or_the_global_one(blobs):
    x, _ = blobs

    def codes(state):
        return tiny(DECClustering, random_state=state).fit(x).embedding_

    generator = np.random.RandomState(1)
    first, second = codes(generator), codes(generator)
    assert (first != second).any()
    np.testing.assert_array_equal(codes(np.random.RandomState(1)), first)
    np.random.seed(1)
    np.testing.assert_array_equal(codes(None), first)
    np.testing.assert_array_equal(codes(None), second)
    with pytest.raises(InputError, match="random_state is -1"):
        codes(-1)


@eagerly
def test_global_random_states_stay(blobs):
    of_python, of_numpy = random.getstate(), np.random.get_state()
    tiny(DECClustering).fit(blobs[0])
    with pytest.raises(InputError, match="100 samples for 101 clusters"):
        tiny(DECClustering, n_clusters=101).fit(blobs[0])
    assert random.getstate() == of_python
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy[1])
    assert np.random.get_state()[2:] == of_numpy[2:]


def test_nothing_is_printed_unless_asked(blobs, capfd):
    tiny(DECClustering).fit(blobs[0]).predict(blobs[0])
    assert capfd.readouterr().out == ""
    tiny(DECClustering, verbose=2).fit(blobs[0])
    out = capfd.readouterr().out
    assert "Epoch 2/2" in out
    assert "Iter 1:" in out


def test_fits_in_threads_are_those_of_one_thread(blobs, capsys):
    def fitted(_):
        return tiny(DECClustering, maxiter=20).fit(blobs[0]).embedding_

    alone = fitted(0)
    with ThreadPoolExecutor(3) as threads:
        for embedding in threads.map(fitted, range(3)):
            np.testing.assert_array_equal(embedding, alone)
    print("still here")
    assert "still here" in capsys.readouterr().out


def test_nothing_is_written_unless_asked(blobs, tmp_path, monkeypatch):
    x, _ = blobs
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("dec_keras.method.clustering.save_model", None)
    monkeypatch.setattr("dec_keras.method.pretraining.save_model", None)
    tiny(DECClustering).fit(x)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


@BOTH
def test_files_are_kept_and_a_pretrained_autoencoder_serves_again(Estimator, blobs, tmp_path):
    x, _ = blobs
    first = small(Estimator, save_dir=tmp_path / "new").fit(x)
    name = Estimator.__name__.removesuffix("Clustering")
    files = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"ae_weights.h5", "pretrain_log.csv", f"{name}_model_final.h5", f"{name.lower()}_log.csv"} < files
    again = small(Estimator, pretrain_epochs=10**9, ae_weights=tmp_path / "new" / "ae_weights").fit(x)
    np.testing.assert_array_equal(again.embedding_, first.embedding_)


@eagerly
def test_pandas_in_and_out(blobs):
    x, _ = blobs
    table = pd.DataFrame(x, columns=list("abcdef"), index=[f"row {i}" for i in range(100)])
    estimator = tiny(DECClustering).set_output(transform="pandas")
    codes = estimator.fit_transform(table)
    assert list(codes.columns) == list(estimator.get_feature_names_out()) == ["decclustering0", "decclustering1"]
    assert list(codes.index) == list(table.index)
    assert list(estimator.feature_names_in_) == list("abcdef")
    np.testing.assert_array_equal(estimator.transform(table).to_numpy(), estimator.embedding_)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(table[list("fedcba")])


@eagerly
@BOTH
def test_pickles_hold_weights_and_settings_alone(Estimator, blobs):
    x, _ = blobs
    fitted = tiny(Estimator).fit(x)
    pickled = pickle.dumps(fitted.set_params(n_clusters=5), protocol=2)  # in protocol 2 all names stand in the text
    names = {argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}
    assert {name.split()[0].split(".")[0] for name in names} <= {"estimators", "numpy", "copy_reg", "_codecs"}
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict(x), fitted.labels_)
    np.testing.assert_array_equal(again.transform(x), fitted.embedding_)
    assert again.history_ == fitted.history_
    np.testing.assert_array_equal(fitted.predict(x), fitted.labels_)  # as before it was pickled
    assert not hasattr(pickle.loads(pickle.dumps(tiny(Estimator))), "labels_")


def test_score_is_the_silhouette_in_the_space_of_x(blobs):
    x, y = blobs
    fitted = small(DECClustering).fit(x)
    assert fitted.score(x) == fitted.score(x, y) == pytest.approx(silhouette_score(x, y), abs=1e-6)
    assert small(DECClustering, n_clusters=2).fit(x).score(x) < fitted.score(x) - 0.1
    assert small(DECClustering, n_clusters=1).fit(x).score(x) == -1
    many = np.tile(x, (metrics.SILHOUETTE_SAMPLES // 50, 1))
    assert fitted.score(many) == pytest.approx(fitted.score(x), abs=0.02)
    assert fitted.score(many) == fitted.score(many)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 0}, "n_clusters is 0"),
        ({"maxiter": 0}, "maxiter is 0"),
        ({"tol": 2}, "tol is 2"),
        ({"update_interval": -1}, "update_interval is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"gamma": -1}, "gamma is -1"),
        ({"dims": ()}, "dims are"),
        ({"dims": 10}, "dims is 10: it must be a list"),
        ({"n_clusters": "three"}, "n_clusters is three"),
        ({"optimizer": "nonsense"}, "nonsense"),
    ],
)
def test_wrong_parameters_are_told_before_pretraining(blobs, parameters, message):
    with pytest.raises(ValueError, match=message):
        tiny(IDECClustering, **{"pretrain_epochs": 10**9, **parameters}).fit(blobs[0])


@eagerly
def test_fewer_clusters_than_asked_for_are_told():
    x = np.repeat(np.eye(2), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match="Only 2 of 3 clusters hold samples"):
        tiny(DECClustering).fit(x)


@eagerly
def test_an_optimizer_serves_many_fits(blobs):
    x, _ = blobs
    adam = {"class_name": "Adam", "config": {"learning_rate": 0.01}}
    estimator = tiny(DECClustering, optimizer=keras.optimizers.SGD(0.1, 0.9), pretrain_optimizer=adam)
    codes = estimator.fit(x).embedding_
    np.testing.assert_array_equal(estimator.fit(x).embedding_, codes)
    np.testing.assert_array_equal(clone(estimator).fit(x).embedding_, codes)
    same = estimator.set_params(optimizer={"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}})
    np.testing.assert_array_equal(same.fit(x).embedding_, codes)
    assert (estimator.set_params(pretrain_optimizer="sgd").fit(x).embedding_ != codes).any()


def test_documented_pipeline_and_search_run_on_digits():
    section = PAGE.read_text().split("\n## scikit-learn\n")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names = {}
    exec(code, names)
    assert metrics.acc(names["y"], names["labels"]) > 0.7
    assert names["z"].shape == (1797, 10)
    assert names["k"] == 10


@BOTH
def test_soft_labels_are_those_of_dec(Estimator, blobs):
    fitted = tiny(Estimator).fit(blobs[0])
    q = fitted.predict_proba(blobs[0])
    np.testing.assert_array_equal(q, fitted._dec.soft_labels(blobs[0]))
    np.testing.assert_array_equal(q.argmax(axis=1), fitted.labels_)
    np.testing.assert_array_equal(fitted.soft_labels(blobs[0]), q)
    np.testing.assert_array_equal(fitted.extract_features(blobs[0]), fitted.embedding_)


@pytest.mark.parametrize(
    ("Estimator", "saved"), [(DECClustering, "DEC"), (IDECClustering, "IDEC"), (DECClustering, "IDEC")]
)
def test_a_saved_model_is_a_fitted_estimator(Estimator, saved, blobs, tmp_path):
    x, _ = blobs
    dec = {"DEC": DEC, "IDEC": IDEC}[saved](helpers.DIMS, 3, alpha=2.0, seed=0)
    dec.pretrain(x, epochs=2, verbose=0)
    dec.fit(x, maxiter=2, save_dir=tmp_path, verbose=0)
    loaded = Estimator.from_h5(tmp_path / f"{saved}_model_final")
    for estimator in (loaded, pickle.loads(pickle.dumps(loaded))):
        np.testing.assert_allclose(estimator.predict_proba(x), dec.soft_labels(x), atol=1e-6)
        np.testing.assert_allclose(estimator.transform(x), dec.extract_features(x), atol=1e-6)
        np.testing.assert_array_equal(estimator.cluster_centers_, dec.centers)
    assert (loaded.n_clusters, loaded.dims) == (3, (16, 16, 3))
    with pytest.raises(ValueError, match="expecting 6 features"):
        loaded.predict(x[:, :5])
    with pytest.raises(InputError, match="no weights file"):
        Estimator.from_h5(tmp_path / "nothing.h5")
