"""The command line: short runs on small files, and every kind of bad input."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from DEC import DEC
from dec_keras.data import datasets, reading
from dec_keras.data.samples import Samples
from dec_keras.data.scaling import FITS
from dec_keras.method.initial_centers import STARTS
from dec_keras.method.protocols import BY_SIZE, PAPER_LENGTH, get_settings
from dec_keras.runs import run as run_module
from dec_keras.runs.command_line import parse_run
from dec_keras.runs.run import reconstruction_error
from dec_keras.runs.verdict import report_sizes
from IDEC import IDEC
from tests import helpers
from tests.helpers import ROOT, read_log, three_groups


@pytest.fixture
def npz(blobs, tmp_path):
    path = tmp_path / "blobs.npz"
    np.savez(path, x=blobs[0], y=blobs[1])
    return path


def short_run(data, save_dir, *more):
    """Arguments of a run of a few batches; `more` overrides them."""
    return [
        *("--dataset", str(data), "--pretrain_epochs", "3", "--maxiter", "4", "--update_interval", "2", "--tol", "0"),
        *("--save_dir", str(save_dir), *map(str, more)),
    ]


def test_a_run_prints_scores_and_saves_its_files(tmp_path):
    """In a subprocess, as a user would; on noise, whose clusters change."""
    folder, rng = tmp_path / "out", np.random.default_rng(0)
    x, y = rng.random((100, 6)).astype("float32"), rng.integers(3, size=100)
    np.savez(tmp_path / "noise.npz", x=x, y=y)
    done = subprocess.run(
        [sys.executable, "DEC.py", *short_run(tmp_path / "noise.npz", folder, "--maxiter", 40)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    pattern = r"^(AE \+ k-means|DEC) +(0\.\d{4}) +([\d.]+) +(-?[\d.]+) +[\d.]+ s +0\.\d{6}$"
    table = re.findall(pattern, done.stdout, re.M)
    assert [name for name, *_ in table] == ["AE + k-means", "DEC"]
    log = read_log(folder / "dec_log.csv")
    for (_, *scores), row in zip(table, (log[0], log[-1]), strict=True):
        logged = [float(row[name]) for name in ("acc", "nmi", "ari")]
        assert [float(score) for score in scores] == pytest.approx(logged, abs=1e-4)
    assert table[0][1:] != table[1][1:]
    labels = np.loadtxt(folder / "labels.csv", delimiter=",", skiprows=1, usecols=1)
    start_labels = keras.models.load_model(folder / "DEC_model_0.h5").predict(x, verbose=0).argmax(axis=1)
    changed = np.sum(labels != start_labels)
    assert changed > 0
    for text in (
        "6-500-500-2000-10",
        "Batches trained: 40. Stopped since --maxiter was reached",
        f"\n{changed} of 100 samples changed their cluster",
        f"Cluster sizes: {' '.join(map(str, np.bincount(labels.astype(int))))}\n",
        str(folder),
    ):
        assert text in done.stdout
    files = {path.name for path in folder.iterdir()}
    assert {"DEC_model_final.h5", "dec_log.csv", "ae_weights.h5", "pretrain_log.csv"} <= files
    assert "Traceback" not in done.stderr


def run(*arguments):
    helpers.command(DEC, arguments)


def test_given_weights_start_from_the_same_kmeans(npz, tmp_path, small_network, without_graphs):
    run(*short_run(npz, tmp_path / "a"))
    run(*short_run(npz, tmp_path / "b", "--ae_weights", tmp_path / "a" / "ae_weights"))  # the suffix is resolved
    assert not (tmp_path / "b" / "ae_weights.h5").exists()
    assert (tmp_path / "a" / "dec_log.csv").read_text() == (tmp_path / "b" / "dec_log.csv").read_text()


def test_data_without_labels_need_a_number_of_clusters_only(blobs, tmp_path, capsys, small_network, without_graphs):
    np.save(tmp_path / "x.npy", blobs[0])
    run(*short_run(tmp_path / "x.npy", tmp_path / "out", "--n_clusters", 3))
    printed = capsys.readouterr().out
    assert re.search(r"^DEC +[\d.]+ s +0\.\d{6}$", printed, re.M)
    assert "k-means on x" not in printed
    assert "ACC" not in printed
    assert (tmp_path / "out" / "DEC_model_final.h5").exists()


@pytest.mark.parametrize("protocol", ["idec", "paper"])
def test_other_protocols_run(npz, tmp_path, protocol, capsys, small_network, without_graphs):
    run(*short_run(npz, tmp_path / "out", "--protocol", protocol))
    assert f"protocol         {protocol}" in capsys.readouterr().out
    assert (tmp_path / "out" / "DEC_model_final.h5").exists()
    assert (tmp_path / "out" / "pretrain_layer_1_log.csv").exists() == (protocol == "paper")


def test_positional_form_and_exponents_parse():
    config, options = parse_run("DEC", ["usps", "--maxiter", "2e4", "--gamma", "0.2"])
    assert (config.dataset, config.maxiter, options.save_dir) == ("usps", 20_000, Path("results/dec"))
    config, options = parse_run("DEC", ["--dataset", "usps"])
    assert (config.dataset, options.save_dir) == ("usps", Path("results"))
    config, _ = parse_run("DEC", [])
    assert (config.dataset, config.batch_size, config.tol, config.protocol) == ("mnist", 256, None, "dec-keras")


def test_tol_is_the_protocols_unless_given():
    for arguments, tol in (
        ([], 0.001),
        (["--protocol", "best"], 0.002),
        (["--protocol", "best", "--tol", "0.01"], 0.01),
    ):
        config, _ = parse_run("DEC", ["--dataset", "digits", *arguments])
        assert config.with_protocol().tol == tol


def test_help_names_every_argument_and_default(capsys):
    with pytest.raises(SystemExit) as end:
        parse_run("DEC", ["-h"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    arguments = "dataset n_clusters batch_size maxiter pretrain_epochs gamma update_interval tol ae_weights save_dir"
    for argument in arguments.split():
        assert f"--{argument} " in text
    for default in ("256", "20000", "0.001", "dec-keras", "reuters10k"):
        assert default in text


def test_help_names_the_data_sets_and_scales_that_there_are():
    """They stand in `reading` too, which loads fast."""
    assert set(reading.DATASETS) == set(datasets.DATASETS)
    assert tuple(reading.SCALES) == ("auto", *FITS, "l2", "none")


def test_a_header_is_there_or_not(tmp_path):
    (tmp_path / "x.csv").touch()
    answers = [
        parse_run("DEC", [str(tmp_path / "x.csv"), "--header", text])[0].reading.header for text in ("yes", "no")
    ]
    assert answers == [True, False]


@pytest.fixture(scope="module")
def bad_input(tmp_path_factory):
    """A folder with files that are no good, and one that is."""
    folder, (x, y) = tmp_path_factory.mktemp("bad"), three_groups()
    np.savez(folder / "good.npz", x=x, y=y)
    np.save(folder / "unlabelled.npy", x)
    np.save(folder / "flat.npy", x[:, 0])
    np.save(folder / "nan.npy", np.where(x > 0.5, np.nan, x))
    np.save(folder / "inf.npy", np.where(x > 0.5, np.inf, x))
    np.savez(folder / "y_short.npz", x=x, y=y[:-1])
    np.savez(folder / "one_class.npz", x=x, y=y * 0)
    np.save(folder / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    (folder / "truncated.npy").write_bytes((folder / "unlabelled.npy").read_bytes()[:500])
    DEC([6, 8, 2], 3).autoencoder.save(folder / "other_dims.h5")
    (folder / "file").touch()
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "imagenet"], "no data set 'imagenet'"),
        (["--dataset", "{}/nothing.npy"], "There is no file"),
        (["--dataset", "{}/flat.npy"], "x has shape (100,)"),
        (["--dataset", "{}/nan.npy", "--n_clusters", "3"], "x holds NaN"),
        (["--dataset", "{}/inf.npy", "--n_clusters", "3"], "x holds NaN, infinity"),
        (["--dataset", "{}/y_short.npz"], "y has shape (99,)"),
        (["--dataset", "{}/objects.npy"], "pickled"),
        (["--dataset", "{}/truncated.npy"], "damaged"),
        (["--dataset", "{}/unlabelled.npy"], "with --n_clusters"),
        (["--dataset", "{}/good.npz", "--n_clusters", "101"], "101 clusters of 100 samples"),
        (["--dataset", "{}/good.npz", "--n_clusters", "1"], "at least 2"),
        (["--dataset", "{}/one_class.npz"], "All samples have the same label"),
        (["--dataset", "{}/good.npz", "--scale", "1e39"], "beyond float32"),
        (["--dataset", "{}/good.npz", "--batch_size", "0"], "at least 1"),
        (["--dataset", "{}/good.npz", "--update_interval", "-1"], "at least 0"),
        (["--dataset", "{}/good.npz", "--maxiter", "some"], "whole number"),
        (["--dataset", "{}/good.npz", "--tol", "2"], "from 0 to 1"),
        (["--dataset", "{}/good.npz", "--gamma", "-1"], "at least 0"),
        (["--dataset", "{}/good.npz", "--scale", "0"], "above 0"),
        (["--dataset", "{}/good.npz", "--seed", "1e12"], "at most 4294967295"),
        (["--dataset", "{}/good.npz", "--protocol", "mine"], "invalid choice"),
        (["--dataset", "{}/good.npz", "--ae_weights", "{}/nothing"], "no weights file"),
        (["--dataset", "{}/good.npz", "--ae_weights", "{}/other_dims.h5"], "layer encoder_0 has shapes [(6, 8), (8,)]"),
        (["--dataset", "{}/good.npz", "--save_dir", "{}/file/out"], "Cannot write to the folder"),
        (["--dataset", "{}/good.npz", "--save_dir", "/proc/out"], "Cannot write to the folder"),
        (["usps", "--dataset", "mnist"], "give the data set once"),
        (["--header", "maybe"], "give yes or no"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_code_2(bad_input, monkeypatch, capsys, arguments, message):
    before = {path.name for path in bad_input.iterdir()}
    monkeypatch.chdir(bad_input)
    arguments = [argument.format(bad_input) for argument in arguments]
    with pytest.raises(SystemExit) as end:
        helpers.command(DEC, arguments)
    assert end.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("DEC.py: error: ")
    assert message in last
    assert {path.name for path in bad_input.iterdir()} == before


def test_missing_data_names_file_folder_and_source(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(datasets, "DATA", tmp_path / "data")
    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there: no network
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(SystemExit) as end:
        helpers.command(DEC, ["--dataset", "pendigits", "--save_dir", str(tmp_path / "out")])
    assert end.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    for part in ("pendigits.tra", str(tmp_path / "mine" / "pendigits"), "https://archive.ics.uci.edu"):
        assert part in last
    assert not (tmp_path / "out").exists()


def test_diverging_run_ends_in_one_sentence(blobs, tmp_path, capsys, small_network):
    np.savez(tmp_path / "huge.npz", x=blobs[0] * np.float32(1e30), y=blobs[1])
    with pytest.raises(SystemExit) as end:
        run(*short_run(tmp_path / "huge.npz", tmp_path / "out", "--scale", "none"))
    assert end.value.code == 2
    assert "Training diverged" in capsys.readouterr().err
    assert not (tmp_path / "out" / "ae_weights.h5").exists()


def test_warnings_of_empty_and_dominant_clusters(capsys):
    report_sizes(np.array([90, 10, 0, 0]))
    text = capsys.readouterr().out
    assert "2 of 4 clusters are empty, numbers 2 and 3;" in text
    assert "one cluster holds 90% of the samples" in text
    report_sizes(np.array([30, 20, 25, 25]))
    assert "Warning" not in capsys.readouterr().out
    for sizes, share in (([300, 1], "99%"), ([91, 9], "91%"), ([300, 0], "100%"), ([70, 20, 10], "70%")):
        report_sizes(np.array(sizes))
        assert f"one cluster holds {share} of the samples" in capsys.readouterr().out
    for sizes in ([60, 40], [85, 15], [60, 20, 20]):
        report_sizes(np.array(sizes))
        assert "Warning" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("protocol", "more", "expected"),
    [
        ("dec-keras", [], ("end-to-end", BY_SIZE)),
        ("dec-keras", ["--pretrain", "layerwise"], ("layerwise", PAPER_LENGTH)),
        ("dec-keras", ["--pretrain", "layerwise", "--pretrain_epochs", "9"], ("layerwise", 9)),
        ("paper", [], ("layerwise", PAPER_LENGTH)),
        ("paper", ["--pretrain", "end-to-end"], ("end-to-end", 200)),
        ("paper", ["--pretrain_epochs", "7"], ("layerwise", 7)),
    ],
)
def test_a_pretraining_comes_with_its_own_length(protocol, more, expected, tmp_path):
    (tmp_path / "my.npz").touch()
    settings = parse_run("DEC", [str(tmp_path / "my.npz"), "--protocol", protocol, *more])[0].with_protocol()
    assert (settings.pretraining, settings.pretrain_epochs) == expected


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """300 noisy images of two kinds, in Keras' mnist.npz; x as load_data gives it."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300).astype("uint8")
    images = (rng.integers(0, 80, (300, 28, 28)) + 150 * y[:, None, None]).astype("uint8")
    (tmp_path / "mnist").mkdir()
    arrays = {"x_train": images[:200], "y_train": y[:200], "x_test": images[200:], "y_test": y[200:]}
    np.savez(tmp_path / "mnist" / "mnist.npz", **arrays)
    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path))
    return images.reshape(300, -1) / np.float32(255)


@pytest.mark.parametrize(
    ("method", "protocol", "scale", "init", "pretraining", "clustering"),
    [
        (DEC, "dec-keras", 1, "VarianceScaling", ("SGD", 1.0), ("SGD", 0.01)),
        (DEC, "fast", 1, "VarianceScaling", ("Adam", 0.0), ("SGD", 0.01)),
        (DEC, "idec", 5.1, "GlorotUniform", ("Adam", 0.001), ("SGD", 0.01)),
        (DEC, "paper", 5.1, "RandomNormal", ("SGD", 0.05), ("SGD", 0.01)),
        (IDEC, "dec-keras", 1, "VarianceScaling", ("SGD", 1.0), ("Adam", 0.001)),
        (DEC, "dec-da", 1, "VarianceScaling", ("SGD", 1.0), ("SGD", 0.01)),
        (IDEC, "dec-da", 1, "VarianceScaling", ("SGD", 1.0), ("SGD", 1.0)),
        (DEC, "best", 1, "VarianceScaling", ("Adam", 0.0), ("SGD", 0.01)),
    ],
)
@pytest.mark.usefixtures("small_network", "without_graphs")
def test_settings_reach_the_training(
    tiny_mnist, tmp_path, method, protocol, scale, init, pretraining, clustering, monkeypatch
):
    monkeypatch.setitem(STARTS, "auto", STARTS["gmm"])  # in place of UMAP, which compiles for long
    arguments = short_run("mnist", tmp_path / "out", "--protocol", protocol)
    dec = helpers.run(method, arguments)
    assert dec.attributes == {"dataset": "mnist", "protocol": protocol, "scale": pytest.approx(scale)}
    assert type(dec.autoencoder.get_layer("encoder_0").kernel_initializer).__name__ == init
    for model, (name, rate) in ((dec.autoencoder, pretraining), (dec.model, clustering)):
        assert type(model.optimizer).__name__ == name
        assert float(model.optimizer.learning_rate) == pytest.approx(rate, abs=1e-7)
    # the model was trained on scaled x: its labels are those of scaled x
    x = tiny_mnist * np.float32(scale)
    np.testing.assert_array_equal(dec.predict(x), dec.result.labels)
    begun = method(dec.dims, 2)
    begun.load_weights(tmp_path / "out" / f"{method.name}_model_0.h5")
    start = STARTS[get_settings("mnist", protocol).start]
    centers, labels, *_ = start(begun.extract_features(x), 2, seed=0)
    np.testing.assert_array_equal(dec.result.start_labels, labels)
    np.testing.assert_array_equal(begun.model.get_layer("clustering").get_weights()[0], centers.astype("float32"))
    error = np.square(dec.autoencoder.predict(tiny_mnist, verbose=0) - tiny_mnist).mean()
    assert reconstruction_error(dec, Samples(tiny_mnist)) == pytest.approx(error, rel=1e-5)


def test_every_option_is_followed(tmp_path, small_network, recorded):
    """On images in colour of 2 x 3 pixels, in two folders."""
    images = np.random.default_rng(0).integers(256, size=(40, 2, 3, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        path = tmp_path / "images" / f"class{i // 20}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    pretrainings, compilations, clusterings = (
        recorded(*function) for function in ((run_module, "pretrain"), (IDEC, "compile"), (run_module, "cluster"))
    )
    phases = {"batch_size": 15, "pretrain_epochs": 2, "maxiter": 4, "update_interval": 3, "tol": 0.25, "gamma": 0.4}
    options = phases | {"start": "gmm", "scale": 0.5, "seed": 7, "n_clusters": 3, "strategy": "mirrored"}
    options |= {"dataset": tmp_path / "images", "save_dir": tmp_path / "out"}
    flags = ("--color", "--labels_from_folders", "--resume")
    arguments = [f"--{name}={value}" for name, value in options.items()]
    dec = helpers.run(IDEC, [*arguments, *flags])

    (pretraining,), (compilation,), (clustering,) = pretrainings, compilations, clusterings
    both = {"batch_size": 15, "resume": True}
    expected = both | {"maxiter": 4, "update_interval": 3, "tol": 0.25, "start": "gmm"}
    assert {name: clustering[name] for name in expected} == expected
    assert {name: pretraining[name] for name in (*both, "epochs")} == both | {"epochs": 2}
    assert compilation["gamma"] == 0.4
    for phase in (pretraining, clustering):
        assert phase["folder"].path == tmp_path / "out"
        np.testing.assert_allclose(phase["x"].x, images.reshape(40, -1) / 2)
        assert phase["y"].tolist() == ["class0"] * 20 + ["class1"] * 20
    assert (dec.seed, dec.n_clusters) == (7, 3)
    assert isinstance(dec.model.distribute_strategy, tf.distribute.MirroredStrategy)


@pytest.mark.skipif("DEC_DATA_DIR" not in os.environ, reason="real data: set DEC_DATA_DIR")
@pytest.mark.slow
def test_usps_reaches_the_seeds_scores(tmp_path):
    """DEC-keras' ten trials: 76.4 +- 0.6 / 78.7."""
    dec = helpers.run(DEC, ["--dataset", "usps", "--save_dir", str(tmp_path)])
    assert dec.result.log[-1]["acc"] > 0.745
    assert dec.result.log[-1]["nmi"] > 0.765


def test_weights_carry_the_scale_that_they_were_trained_on(npz, tmp_path, capsys, small_network, without_graphs):
    run(*short_run(npz, tmp_path / "a", "--scale", 2))
    weights = tmp_path / "a" / "ae_weights.h5"
    capsys.readouterr()
    run(*short_run(npz, tmp_path / "b", "--ae_weights", weights))
    assert "scale of x       x 2" in capsys.readouterr().out
    assert (tmp_path / "a" / "dec_log.csv").read_text() == (tmp_path / "b" / "dec_log.csv").read_text()

    with pytest.raises(SystemExit):
        run(*short_run(npz, tmp_path / "c", "--ae_weights", weights, "--scale", 5))
    assert "was trained with --scale 2: leave --scale 5 out" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()

    foreign = tmp_path / "foreign.h5"  # no attribute: the protocol's scale, or what --scale says
    keras.models.load_model(weights).save(foreign)
    run(*short_run(npz, tmp_path / "d", "--ae_weights", foreign))
    out = capsys.readouterr().out
    assert "scale of x       none" in out
    assert "does not say what its x was scaled by" in out
    run(*short_run(npz, tmp_path / "e", "--ae_weights", foreign, "--scale", 2))
    assert "does not say" not in capsys.readouterr().out
    assert (tmp_path / "a" / "dec_log.csv").read_text() == (tmp_path / "e" / "dec_log.csv").read_text()


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.mark.slow
def test_two_workers_train_as_one_process_does(tmp_path):
    """To 0.001, where each batch divides by the workers: Adam makes much of what rounding does to tiny gradients."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=96)
    np.savez(tmp_path / "x.npz", x=(rng.normal(scale=0.1, size=(96, 6)) + np.eye(6)[y]).astype("float32"), y=y)
    arguments = short_run(tmp_path / "x.npz", tmp_path / "two", "--batch_size", "32")
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = []
    try:
        for i in range(2):
            cluster = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}})
            command = [sys.executable, "IDEC.py", *arguments, "--strategy", "multiworker"]
            workers.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TF_CONFIG": cluster}))
        helpers.run(IDEC, [*arguments, "--save_dir", str(tmp_path / "one")])
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    x = np.load(tmp_path / "x.npz")["x"]
    models = [
        keras.models.load_model(tmp_path / folder / "IDEC_model_final.h5") for folder in ("one", "two", "two/worker1")
    ]
    (q, rebuilt), *others = (model.predict(x, verbose=0) for model in models)
    for other_q, other_rebuilt in others:
        np.testing.assert_allclose(other_q, q, atol=1e-3)
        np.testing.assert_allclose(other_rebuilt, rebuilt, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--pretrain_epoch", "3"], "unrecognized arguments: --pretrain_epoch. Did you mean --pretrain_epochs? See"),
        (["--wholly=else"], "unrecognized arguments: --wholly=else. See DEC.py -h."),
        (["--dataset", ""], "an argument is empty"),
        (["--save_dir="], "an argument is empty"),
        ([""], "an argument is empty"),
    ],
)
def test_a_wrong_option_ends_in_a_sentence_that_guesses(wrong, sentence, capsys):
    with pytest.raises(SystemExit):
        parse_run("DEC", wrong)
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_ctrl_c_during_the_imports_leaves_no_traceback():
    code = """
from dec_keras.runs import command_line

def stop():
    raise KeyboardInterrupt

command_line.import_tensorflow = stop
command_line.start_run("DEC")
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (child.returncode, child.stderr) == (-signal.SIGINT, "\nStopped.\n")
