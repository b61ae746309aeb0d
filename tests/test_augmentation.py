import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from DEC import DEC
from dec_keras.data.samples import Samples
from dec_keras.errors import InputError
from dec_keras.training.augmentation import shift_and_rotate
from dec_keras.training.pipeline import endless_batches
from IDEC import IDEC
from tests.helpers import DIMS, command

SEED = (3, 4)


def images(n, *shape):
    return np.random.default_rng(0).random((n, *shape), dtype=np.float32)


def transformed(x):
    """Images x of shape `(n, height, width[, 3])`, shifted and rotated."""
    return shift_and_rotate(x.reshape(len(x), -1), x.shape[1:], SEED).numpy().reshape(x.shape)


@pytest.mark.parametrize("shape", [(12, 9), (6, 8, 3)])
def test_an_image_is_rotated_about_its_centre_and_shifted_in_one_interpolation(shape):
    """As by SciPy, from the numbers drawn."""
    x = images(5, *shape)
    limits = np.array([np.radians(10), 0.1 * shape[0], 0.1 * shape[1]], np.float32)
    drawn = tf.random.stateless_uniform((5, 3), SEED, -limits, limits).numpy()
    centre = (np.array(shape[:2]) - 1) / 2
    for image, result, (angle, *shift) in zip(x, transformed(x), drawn, strict=True):
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # rows, then columns
        offset = centre - rotation @ centre + shift
        channels = np.atleast_3d(image)
        expected = [
            scipy.ndimage.affine_transform(channels[..., i], rotation, offset, order=1, mode="nearest")
            for i in range(channels.shape[2])
        ]
        np.testing.assert_allclose(np.atleast_3d(result), np.stack(expected, axis=2), atol=1e-4)


def test_a_dot_moves_as_far_as_it_may_and_no_farther():
    x = np.zeros((2000, 41, 41), np.float32)
    x[:, 20, 20] = 1  # in the centre, which rotation leaves
    moved = transformed(x)
    rows, columns = np.tensordot(moved, np.indices((41, 41)), ((1, 2), (1, 2))).T / moved.sum((1, 2))
    for moves in (rows - 20, columns - 20):
        assert 3.9 < np.abs(moves).max() < 4.6  # a tenth of 41; the weights of a turned dot are uneven
        assert abs(moves.mean()) < 0.2


def batches(x, n, start=0, augment=5, shuffle=7):
    dataset = endless_batches(Samples(x), 32, shuffle=shuffle, start=start, augment=augment)
    return [(indices.numpy(), rows.numpy()) for indices, rows in dataset.take(n)]


def test_every_batch_is_transformed_anew_and_by_its_number_alone():
    x = images(64, 5, 5)
    first = batches(x, 6)
    for (indices, rows), (expected_indices, expected) in zip(batches(x, 4, start=2), first[2:], strict=True):
        np.testing.assert_array_equal(indices, expected_indices)
        np.testing.assert_array_equal(rows, expected)
    seen = [rows[np.flatnonzero(indices == 0)[0]] for indices, rows in first if 0 in indices]
    assert len(seen) == 3
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])
    assert not np.array_equal(batches(x, 1, augment=6)[0][1], first[0][1])


@pytest.mark.parametrize("method", [pytest.param(DEC, marks=pytest.mark.slow), IDEC])
def test_the_network_sees_what_is_augmented_and_q_and_p_the_images(method, blobs, monkeypatch):
    """With a transformation that leaves all as it is, the same bits; with one that wipes all out, another network."""
    x, _ = blobs
    results = []
    for transformation in (None, lambda rows, *_, **__: rows, lambda rows, *_, **__: tf.zeros_like(rows)):
        monkeypatch.setattr("dec_keras.training.pipeline.shift_and_rotate", transformation)
        augment = transformation is not None
        keras.utils.set_random_seed(0)
        dec = method(DIMS, 3, seed=0)
        dec.pretrain(x.reshape(100, 2, 3), epochs=40, batch_size=50, save_dir=None, augment=augment)
        error = dec.autoencoder.evaluate(np.zeros_like(x), np.zeros_like(x), verbose=0)
        dec.fit(x.reshape(100, 2, 3), maxiter=20, update_interval=5, save_dir=None, augment=augment)
        results.append((error, dec.result.q, dec.model.get_weights()))
    (_, q, weights), (_, same_q, same), (error, wiped_q, _) = results
    np.testing.assert_array_equal(q, same_q)
    for ours, others in zip(weights, same, strict=True):
        np.testing.assert_array_equal(ours, others)
    assert error < 1e-4  # it has learned zeros
    assert np.ptp(wiped_q, axis=0).max() > 0  # of the images, which differ


def test_what_is_no_image_is_told(blobs, dec, tmp_path, capsys):
    x, _ = blobs
    for phase in (dec.pretrain, dec.pretrain_layerwise, dec.fit):
        with pytest.raises(InputError, match="x is not known to be any: give x of shape"):
            phase(x, save_dir=None, augment=True)
    np.savez(tmp_path / "x.npz", x=x)
    with pytest.raises(SystemExit) as end:
        command(DEC, ["--dataset", tmp_path / "x.npz", "--n_clusters", 3, "--augment", "both"])
    assert end.value.code == 2
    assert "holds no images, which augmentation shifts and rotates: --augment none." in capsys.readouterr().err


def test_images_are_known_by_their_axes():
    for shape, expected in {
        (5, 4): (5, 4),
        (5, 4, 3): (5, 4, 3),
        (5, 4, 1): (5, 4),
        (5, 4, 2): None,
        (9,): None,
    }.items():
        assert Samples(images(3, *shape)).image_shape == expected
