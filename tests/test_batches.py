import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from DEC import DEC
from dec_keras.data.datasets import load_data
from dec_keras.data.samples import Samples
from dec_keras.data.scaling import fit
from dec_keras.errors import InputError
from dec_keras.training.pipeline import endless_batches, predict
from dec_keras.training.steps import XLA_BATCHES, Trainer
from IDEC import IDEC
from tests.helpers import DIMS, ROOT


@pytest.fixture
def forms(blobs, tmp_path):
    """The same x as an array, a memory map and a CSR matrix."""
    x, _ = blobs
    np.save(tmp_path / "x.npy", x)
    return {"array": x, "memmap": np.load(tmp_path / "x.npy", mmap_mode="r"), "csr": scipy.sparse.csr_matrix(x)}


def test_rows_and_batches_of_every_form_are_dense_float32(forms):
    x = forms["array"]
    for form in [*forms.values(), x.astype(np.float64), scipy.sparse.csr_array(x)]:
        samples = Samples(form)
        for index in (slice(3, 9), np.array([5, 0, 5]), np.arange(100) > 60):
            part = samples.rows(index)
            assert part.dtype == np.float32
            assert part.flags.c_contiguous
            np.testing.assert_array_equal(part, x[index])
            np.testing.assert_array_equal(samples.take(index).rows(slice(None)), x[index])
        sizes = [len(rows) for rows in samples.batches(30)]
        assert sizes == [30, 30, 30, 10]
        np.testing.assert_array_equal(np.concatenate(list(samples.batches(30))), x)
        assert samples.checksum == Samples(x).checksum != Samples(x[::-1]).checksum
        assert Samples.of(samples) is samples


def test_a_run_reads_x_once_to_check_and_sum_it(forms, dec, tmp_path, monkeypatch):
    """Passes over x: one by Samples; then those of training alone, which reads batches."""
    passes = []
    check = Samples._check_and_sum
    monkeypatch.setattr(Samples, "_check_and_sum", lambda self: passes.append(self) or check(self))
    x = Samples(forms["memmap"])
    dec.pretrain(x, epochs=1, save_dir=tmp_path)
    dec.fit(x, maxiter=2, update_interval=1, save_dir=tmp_path)
    dec.predict(x)
    assert passes == [x]


def test_batches_come_with_their_indices_in_order_or_shuffled_anew_every_epoch(forms):
    for form in forms.values():
        orders = {}
        for shuffle in (None, 0, 1):
            seen = []
            for indices, batch in endless_batches(Samples(form), 40, shuffle).take(6):  # two epochs
                np.testing.assert_array_equal(batch, forms["array"][indices])
                seen.append(indices.numpy())
            assert [len(indices) for indices in seen] == [40, 40, 20] * 2
            orders[shuffle] = np.concatenate(seen).reshape(2, 100)
            for start in range(6):
                later = [
                    indices.numpy() for indices, _ in endless_batches(Samples(form), 40, shuffle, start).take(6 - start)
                ]
                np.testing.assert_array_equal(np.concatenate(later), np.concatenate(seen[start:]))
        np.testing.assert_array_equal(orders[None], [np.arange(100)] * 2)
        np.testing.assert_array_equal(np.sort(orders[0]), orders[None])
        assert (orders[0][0] != orders[0][1]).any()
        assert (orders[0] != orders[1]).any()


def test_nothing_tunes_the_batches_whose_end_would_wait_for_it(blobs):
    assert endless_batches(Samples(blobs[0]), 40).options().autotune.enabled is False


@pytest.mark.parametrize("method", [pytest.param(DEC, marks=pytest.mark.slow), IDEC])
def test_every_form_of_x_trains_to_the_same_bits(forms, method, tmp_path):
    results = []
    for form in forms.values():
        keras.utils.set_random_seed(3)
        dec = method(DIMS, 3, seed=3)
        dec.pretrain(form, epochs=3, batch_size=30, save_dir=tmp_path)
        dec.fit(form, maxiter=9, batch_size=30, update_interval=3, tol=0, save_dir=tmp_path)
        results.append([*dec.model.get_weights(), dec.predict(form), dec.extract_features(form)])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", [pytest.param(DEC, marks=pytest.mark.slow), IDEC])
def test_steps_compiled_by_xla_are_repeatable_and_those_of_a_plain_loop(blobs, method, tmp_path, monkeypatch):
    """Over 50 batches of each phase; SGD, since Adam makes much of what rounding does to tiny gradients."""
    x, _ = blobs
    results = []
    for xla_batches in (1, 1, 10**9):
        monkeypatch.setattr("dec_keras.training.steps.XLA_BATCHES", xla_batches)
        keras.utils.set_random_seed(3)
        dec = method(DIMS, 3, seed=3)
        dec.compile("sgd")
        dec.pretrain(x, optimizer="sgd", epochs=10, batch_size=20, save_dir=tmp_path)
        pretrained = dec.autoencoder.get_weights()
        dec.fit(x, maxiter=50, batch_size=20, update_interval=10, tol=0, save_dir=tmp_path)
        results.append([*pretrained, *dec.model.get_weights()])
    for compiled, again, plain in zip(*results, strict=True):
        np.testing.assert_array_equal(compiled, again)
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


def test_only_long_trainings_are_compiled_by_xla(dec, blobs):
    dec.compile()
    batches = endless_batches(Samples(blobs[0]), 40)

    def with_targets(_, rows):
        return rows, tf.zeros((tf.shape(rows)[0], dec.n_clusters))

    compiled = [Trainer(dec.model, batches, with_targets, n).jit_compile for n in (XLA_BATCHES - 1, XLA_BATCHES)]
    assert compiled == [bool(tf.config.list_physical_devices("GPU")), True]  # on a GPU Keras compiles every one


@pytest.mark.slow
def test_many_models_in_a_process_bring_no_warning_of_retracing(tmp_path):
    """In a process of its own, since TensorFlow gives this warning at most twice."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(40, 6)))
    code = f"""
import numpy as np
from estimators import DECClustering
x = np.load({str(tmp_path / "x.npy")!r})
for seed in range(6):
    DECClustering(2, pretrain_epochs=1, maxiter=5, random_state=seed).fit(x)
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "retracing" not in child.stderr


def test_layerwise_pretraining_takes_every_form(forms, tmp_path):
    results = []
    for form in forms.values():
        keras.utils.set_random_seed(3)
        dec = DEC([6, 16, 3], 3, seed=3)
        dec.pretrain_layerwise(form, epochs=2, batch_size=30, save_dir=tmp_path)
        results.append(dec.autoencoder.get_weights())
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


def test_predict_equals_keras_predict(dec, blobs):
    x, _ = blobs
    np.testing.assert_allclose(
        predict(dec.encoder, Samples(x)), dec.encoder.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


def test_every_form_is_scaled(forms):
    for scale in (2.5, None):
        scaler = fit(Samples(forms["array"]), scale)
        for form in map(Samples, forms.values()):
            assert fit(form, scale).factor == pytest.approx(scaler.factor)
            np.testing.assert_allclose(scaler.transform(form).rows(slice(0, 100)), forms["array"] * scaler.factor, 1e-6)
    assert scaler.transform(Samples(forms["memmap"])).is_mapped


def test_a_bad_value_is_found_in_every_form(blobs, tmp_path, dec):
    x, _ = blobs
    x[70, 4] = np.inf
    np.save(tmp_path / "x.npy", x)
    for form in (x, np.load(tmp_path / "x.npy", mmap_mode="r"), scipy.sparse.csr_matrix(x)):
        with pytest.raises(InputError, match=r"in 1 of 100 samples, first in row 70, column 4"):
            dec.predict(form)


def test_a_sparse_file_and_a_large_one_are_loaded_as_such(forms, tmp_path, monkeypatch):
    scipy.sparse.save_npz(tmp_path / "x.npz", forms["csr"])
    x, y = load_data(str(tmp_path / "x.npz"))
    assert scipy.sparse.issparse(x)
    assert y is None
    np.testing.assert_array_equal(x.toarray(), forms["array"])
    assert not isinstance(load_data(str(tmp_path / "x.npy"))[0], np.memmap)
    monkeypatch.setattr("dec_keras.data.arrays.LARGE_FILE", 1000)
    x, y = load_data(str(tmp_path / "x.npy"))
    assert isinstance(x, np.memmap)
    assert y is None
    np.testing.assert_array_equal(x, forms["array"])


def test_a_mapped_file_of_images_is_flattened(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.arange(60, dtype=np.uint8).reshape(5, 3, 4))
    monkeypatch.setattr("dec_keras.data.arrays.LARGE_FILE", 10)
    x, _ = load_data(str(tmp_path / "x.npy"))
    assert x.shape == (5, 12)
    assert isinstance(x, np.memmap)
