"""Own data from the command line to a labelled table, new data by the saved model, and TensorBoard's files."""

import io
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import quote

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from PIL import Image

import figures
from DEC import DEC
from dec_keras import metrics
from dec_keras.plots import tensorboard as board
from IDEC import IDEC
from tests import helpers

pytestmark = pytest.mark.usefixtures("small_network")


def train(method, dataset, folder, *more):
    short = ["--pretrain_epochs", "3", "--maxiter", "4", "--update_interval", "2", "--tol", "0", "--n_clusters", "3"]
    return helpers.run(method, ["--dataset", str(dataset), "--save_dir", str(folder), *short, *more])


def predict(program, model, dataset, out):
    helpers.command(program, ["predict", "--model", str(model), "--dataset", str(dataset), "--out", str(out)])
    return pd.read_csv(out)


@pytest.fixture
def table(blobs, tmp_path):
    """A CSV of values that need scaling, with a label and a constant column, and x as it is to be trained on."""
    x, y = blobs
    values = x * [1, 10, 100, 1, 1, 0] - 5
    frame = pd.DataFrame(values, columns=list("abcdef")).round(4).assign(kind=np.array(["u", "v", "w"])[y])
    frame.to_csv(tmp_path / "train.csv", index=False)
    values = frame[list("abcdef")].to_numpy(np.float64)
    size = np.where(np.ptp(values, axis=0) > 0, np.ptp(values, axis=0), np.inf)
    return tmp_path / "train.csv", (values - values.min(axis=0)) / size


def test_new_data_without_a_header_may_lack_their_first_column_the_labels(blobs, tmp_path, without_graphs):
    x, y = blobs
    np.savetxt(tmp_path / "train.csv", np.column_stack([y, x]), delimiter=",")
    np.savetxt(tmp_path / "new.csv", x, delimiter=",")
    dec = train(DEC, tmp_path / "train.csv", tmp_path / "out", "--label_column", "0")
    new = predict(DEC, tmp_path / "out" / "DEC_model_final.h5", tmp_path / "new.csv", tmp_path / "labels.csv")
    np.testing.assert_array_equal(new["cluster"], dec.result.labels)


@pytest.mark.parametrize(("method", "program"), [(DEC, DEC), (IDEC, IDEC), (IDEC, DEC)])
def test_new_data_get_the_clusters_of_training(method, program, table, tmp_path, capsys, without_graphs):
    path, scaled = table
    out = tmp_path / "out"
    dec = train(method, path, out, "--label_column", "kind")
    trained = pd.read_csv(out / "labels.csv")
    q = dec.soft_labels(scaled)
    assert trained.columns.tolist() == ["sample", "cluster", "confidence"]
    np.testing.assert_array_equal(trained["sample"], np.arange(100))
    np.testing.assert_array_equal(trained["cluster"], dec.result.labels)
    np.testing.assert_array_equal(trained["cluster"], q.argmax(axis=1))
    np.testing.assert_allclose(trained["confidence"], q.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(np.load(out / "embedding.npy"), dec.extract_features(scaled), atol=1e-5)
    np.testing.assert_array_equal(np.load(out / "centers.npy"), dec.model.get_layer("clustering").get_weights()[0])
    assert len(set(trained["cluster"])) > 1

    model = out / f"{method.name}_model_final.h5"
    capsys.readouterr()
    pd.testing.assert_frame_equal(predict(program, model, path, tmp_path / "again.csv"), trained)
    acc, nmi, ari = metrics.scores(pd.factorize(pd.read_csv(path)["kind"])[0], trained["cluster"]).values()
    assert f"By the labels: ACC {acc:.4f}, NMI {nmi:.4f}, ARI {ari:.4f}." in capsys.readouterr().out
    # without the labels, the columns in another order, one more, and rows with names
    new = pd.read_csv(path).drop(columns="kind").iloc[50:, ::-1].assign(comment="text")
    new.set_axis([f"no. {i}" for i in range(50)]).to_csv(tmp_path / "new.csv")
    capsys.readouterr()
    predicted = predict(program, model, tmp_path / "new.csv", tmp_path / "deep" / "new_labels.csv")
    np.testing.assert_array_equal(predicted["cluster"], trained["cluster"][50:])
    assert predicted["sample"].tolist() == [f"no. {i}" for i in range(50)]
    sizes = " ".join(map(str, np.bincount(trained["cluster"][50:], minlength=3)))
    out = capsys.readouterr().out
    assert f"new_labels.csv. Cluster sizes: {sizes}" in out
    assert "By the labels" not in out


def test_arrays_are_predicted_by_a_model_of_a_table_with_names(table, tmp_path, without_graphs):
    path, _ = table
    frame = pd.read_csv(path).assign(name=[f"no. {i}" for i in range(100)])
    frame.to_csv(tmp_path / "named.csv", index=False)
    dec = train(DEC, tmp_path / "named.csv", tmp_path / "out", "--label_column", "kind", "--id_column", "name")
    np.save(tmp_path / "x.npy", frame[list("abcdef")].to_numpy())
    new = predict(DEC, tmp_path / "out" / "DEC_model_final.h5", tmp_path / "x.npy", tmp_path / "labels.csv")
    np.testing.assert_array_equal(new["cluster"], dec.result.labels)


@pytest.mark.parametrize("scale", ["standard", "2.5"])
def test_the_saved_scaling_is_applied_and_weights_carry_it(scale, table, tmp_path, capsys, without_graphs):
    path, _ = table
    train(DEC, path, tmp_path / "a", "--label_column", "kind", "--scale", scale)
    labels = (tmp_path / "a" / "labels.csv").read_text()
    model = tmp_path / "a" / "DEC_model_final.h5"
    predict(DEC, model, path, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == labels
    half = pd.read_csv(path).iloc[:50]  # whose own minima and deviations are others
    half.to_csv(tmp_path / "half.csv", index=False)
    predicted = predict(DEC, model, tmp_path / "half.csv", tmp_path / "half_labels.csv")
    pd.testing.assert_frame_equal(predicted, pd.read_csv(tmp_path / "again.csv").iloc[:50], atol=1e-5)

    weights = ["--ae_weights", str(tmp_path / "a" / "ae_weights.h5"), "--label_column", "kind"]
    train(DEC, path, tmp_path / "b", *weights)
    assert (tmp_path / "b" / "labels.csv").read_text() == labels
    with pytest.raises(SystemExit):
        helpers.command(DEC, ["--dataset", str(path), *weights, "--scale", "7"])
    assert f"was trained with --scale {scale}: leave --scale 7 out" in capsys.readouterr().err


@pytest.fixture
def images(blobs, tmp_path):
    """A folder of 30 images in three subfolders."""
    folder = tmp_path / "images"
    for i, (x, y) in enumerate(zip(*blobs, strict=True)):
        if i < 30:
            (folder / "uvw"[y]).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray((x.reshape(2, 3) * 255).astype(np.uint8)).resize((6, 4))
            image.save(folder / "uvw"[y] / f"{i}.png")
    return folder


def test_a_folder_of_images_is_labelled_drawn_and_predicted(images, tmp_path, capsys, without_umap, without_graphs):
    out = tmp_path / "out"
    dec = train(IDEC, images, out, "--labels_from_folders", "--image_size", "3x4", "--figures", "--tensorboard")
    printed = capsys.readouterr().out
    assert "8-bit pixels" in printed
    assert re.search(r"^IDEC +[01]\.\d{4}", printed, re.M)
    labels = pd.read_csv(out / "labels.csv")
    assert labels["sample"].tolist() == sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    assert (out / "figures" / "top_samples.png").exists()
    assert labels["sample"][0] in (out / "report.html").read_text()
    predicted = predict(IDEC, out / "IDEC_model_final.h5", images / "v", tmp_path / "v.csv")
    expected = labels["cluster"][labels["sample"].str.startswith("v/")]
    np.testing.assert_array_equal(predicted["cluster"], expected)

    runs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw", lambda run, paper: runs.append(run))
        figures.main([str(out)])
    np.testing.assert_array_equal(runs[0].labels, dec.result.labels)
    assert (runs[0].image_shape, runs[0].y[0], runs[0].names[0]) == ((3, 4), "u", labels["sample"][0])
    assert float(runs[0].x.matrix().max()) <= 1

    scores = scalars(out / "tensorboard" / "IDEC" / "train")
    log = pd.read_csv(out / "idec_log.csv").iloc[1:]
    for name in ("acc", "nmi", "ari", "delta_label"):
        np.testing.assert_allclose(scores[f"epoch_{name}"], log[name], atol=1e-5)
    np.testing.assert_allclose(scores["epoch_loss"], log["L"], atol=1e-5)
    pretraining = scalars(out / "tensorboard" / "pretraining" / "train")
    np.testing.assert_allclose(pretraining["epoch_loss"], pd.read_csv(out / "pretrain_log.csv")["loss"], rtol=1e-5)
    codes = np.loadtxt(out / "tensorboard" / "IDEC" / "train" / "codes.tsv")
    np.testing.assert_allclose(codes, np.load(out / "embedding.npy"), rtol=1e-4, atol=1e-6)
    known = pd.read_csv(out / "tensorboard" / "IDEC" / "train" / "samples.tsv", sep="\t")
    np.testing.assert_array_equal(known["cluster"], labels["cluster"])
    assert known["label"].tolist() == [name[0] for name in labels["sample"]]


def scalars(folder):
    """{tag: values in order} of the one log in a folder."""
    (file,) = folder.glob("events.out.tfevents.*")
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    return found


@pytest.fixture
def tensorboard_of():
    """A function of a folder: the address of a TensorBoard that shows it, in a process of its own."""
    processes = []

    def start(folder):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*command, "--host", "127.0.0.1", "--load_fast", "false"], **streams)
        processes.append(process)
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r" at (http://\S+?)/? ", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
                return found[1]
        raise AssertionError("".join(said))

    yield start
    for process in processes:
        process.kill()
        process.wait()


def ask(address):
    """What a web address answers, bytes; asked past any proxy."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=60) as answer:
        return answer.read()


def until(answer, seconds=60):
    """The first answer that is not empty: TensorBoard reads its folder as it runs."""
    end = time.monotonic() + seconds
    while not (got := answer()) and time.monotonic() < end:
        time.sleep(0.2)
    return got


@pytest.mark.slow
def test_tensorboards_projector_shows_what_is_written(tmp_path, monkeypatch, tensorboard_of):
    monkeypatch.setattr(board, "POINTS", 5)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[board.log(tmp_path / "DEC")])
    z = np.arange(24.0).reshape(8, 3)
    board.write_embedding(tmp_path / "DEC", z, sample=[f"a\tb{i}" for i in range(8)], cluster=np.arange(8), label=None)

    plugin = f"{tensorboard_of(tmp_path)}/data/plugin/projector"
    (run,) = until(lambda: json.loads(ask(f"{plugin}/runs")))
    (embedding,) = json.loads(ask(f"{plugin}/info?run={quote(run)}"))["embeddings"]
    assert embedding["tensorShape"] == [5, 3]
    which = f"run={quote(run)}&name={quote(embedding['tensorName'])}"
    codes = np.frombuffer(ask(f"{plugin}/tensor?{which}"), np.float32).reshape(5, 3)
    known = pd.read_csv(io.BytesIO(ask(f"{plugin}/metadata?{which}")), sep="\t")
    assert known.columns.tolist() == ["sample", "cluster"]
    np.testing.assert_array_equal(codes, z[known["cluster"]])
    assert known["sample"].tolist() == [f"a b{i}" for i in known["cluster"]]


def test_a_new_log_takes_the_place_of_an_old_one_unless_it_goes_on(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    for keep, logs in ((False, 1), (False, 1), (True, 2)):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[board.log(tmp_path, keep)])
        assert len(list((tmp_path / "train").glob("events.out.tfevents.*"))) == logs


def test_tensorboard_that_is_not_installed_is_told_before_the_training(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(SystemExit):
        helpers.command(DEC, ["--dataset", str(table[0]), "--tensorboard", "--save_dir", str(tmp_path / "out")])
    assert "pip install tensorboard" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_sparse_file_is_labelled(tmp_path, capsys, without_graphs):
    x = scipy.sparse.random(60, 40, 0.1, format="csr", rng=np.random.default_rng(0))
    scipy.sparse.save_npz(tmp_path / "x.npz", x)
    train(DEC, tmp_path / "x.npz", tmp_path / "out")
    assert "Scale: l2" in capsys.readouterr().out
    labels = predict(DEC, tmp_path / "out" / "DEC_model_final.h5", tmp_path / "x.npz", tmp_path / "again.csv")
    pd.testing.assert_frame_equal(labels, pd.read_csv(tmp_path / "out" / "labels.csv"))
    np.save(tmp_path / "dense.npy", x.toarray())  # the same samples in another form
    dense = predict(DEC, tmp_path / "out" / "DEC_model_final.h5", tmp_path / "dense.npy", tmp_path / "dense.csv")
    np.testing.assert_array_equal(dense["cluster"], labels["cluster"])


def test_lengths_in_force_follow_from_the_number_of_samples(table, tmp_path):
    path, _ = table
    arguments = ["--dataset", str(path), "--label_column", "kind", "--maxiter", "1", "--save_dir", str(tmp_path / "o")]
    helpers.run(DEC, arguments)
    settings = json.loads((tmp_path / "o" / "run.json").read_text())["settings"]
    expected = {"pretraining": "end-to-end", "pretrain_epochs": 500, "update_interval": 30, "scale": "minmax"}
    assert settings.items() >= expected.items()
    assert len((tmp_path / "o" / "pretrain_log.csv").read_text().splitlines()) == 501


@pytest.fixture
def saved(blobs, tmp_path):
    """A model, as DEC saves it."""
    dec = DEC([6, 4, 2], 3)
    dec.model.save(tmp_path / "model.h5")
    dec.encoder.save(tmp_path / "encoder.h5")
    (tmp_path / "text.h5").write_text("no model")
    np.save(tmp_path / "x.npy", blobs[0])
    np.save(tmp_path / "narrow.npy", blobs[0][:, :5])
    np.save(tmp_path / "huge.npy", np.where(np.arange(100)[:, None] == 7, np.float32(3e38), blobs[0]))
    return tmp_path


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ("model.h5", "narrow.npy", "have 5 features and {}/model.h5 takes 6"),
        ("encoder.h5", "x.npy", "no layers encoder_0 and clustering"),
        ("text.h5", "x.npy", "no HDF5 file"),
        ("nothing.h5", "x.npy", "no weights file"),
        ("model.h5", "nothing.npy", "There is no file"),
        ("model.h5", "huge.npy", "1 of 100 samples, the first in row 7, have values so far beyond the training's"),
    ],
)
def test_bad_input_ends_in_one_sentence(model, data, message, saved, capsys):
    with pytest.raises(SystemExit) as end:
        predict(DEC, saved / model, saved / data, saved / "out.csv")
    assert end.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("DEC.py: error: ")
    assert message.format(saved) in last
    assert not (saved / "out.csv").exists()


@pytest.mark.parametrize(
    ("data", "out", "message"),
    [
        ("x.npy", "folder", "is a folder: name a file"),
        ("x.npy", "x.npy", "the file of the data"),
        ("x.npz:x", "x.npz", "the file of the data"),
        ("x.npy", "model.h5", "or of the model"),
    ],
)
def test_a_file_of_clusters_takes_no_others_place(data, out, message, saved, blobs, capsys):
    (saved / "folder").mkdir()
    np.savez(saved / "x.npz", x=blobs[0])
    before = {path: path.read_bytes() for path in saved.iterdir() if path.is_file()}
    with pytest.raises(SystemExit) as end:
        predict(DEC, saved / "model.h5", saved / data, saved / out)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in saved.iterdir() if path.is_file()} == before


def test_a_model_that_does_not_say_its_scale_takes_x_as_it_is(saved, blobs, capsys):
    labels = predict(DEC, saved / "model.h5", saved / "x.npy", saved / "out.csv")
    assert "does not say what its x was scaled by" in capsys.readouterr().out
    model = keras.models.load_model(saved / "model.h5", compile=False)
    np.testing.assert_array_equal(labels["cluster"], model.predict(blobs[0], verbose=0).argmax(axis=1))


def test_predict_reads_the_first_line_as_the_training_did(blobs, tmp_path, without_graphs):
    x, _ = blobs
    table = np.vstack([np.arange(1, 7), x.round(4)])  # a sample that might be a header
    np.savetxt(tmp_path / "train.csv", table, delimiter=",", fmt="%g")
    dec = train(DEC, tmp_path / "train.csv", tmp_path / "out", "--header", "no")
    model = tmp_path / "out" / "DEC_model_final.h5"
    new = predict(DEC, model, tmp_path / "train.csv", tmp_path / "labels.csv")
    np.testing.assert_array_equal(new["cluster"], dec.result.labels)
    dec = train(DEC, tmp_path / "train.csv", tmp_path / "out", "--header", "yes")
    pd.DataFrame(x.round(4), columns=range(1, 7)).iloc[:, ::-1].to_csv(tmp_path / "new.csv", index=False)
    new = predict(DEC, model, tmp_path / "new.csv", tmp_path / "labels.csv")
    np.testing.assert_array_equal(new["cluster"], dec.result.labels)
