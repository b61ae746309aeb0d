"""The house: the walls between its parts, its package beside others, start-up, and files saved by earlier versions."""

import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
import zipfile

import keras
import numpy as np
import pytest
from sklearn.exceptions import InconsistentVersionWarning

import dec_keras
from DEC import DEC
from dec_keras.training.steps import Trainer
from IDEC import IDEC
from tests import helpers
from tests.helpers import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOORS = ("DEC", "IDEC", "run_exp", "choose_k", "figures", "estimators", "datasets", "metrics")
SAVED = ROOT / "tests/data/v0.1"  # saved by the modules that version 0.1 had at its top level


def python(*arguments, path=(), cwd=ROOT):
    """What Python prints, with folders ahead on its path; TensorFlow is quiet."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_stay_within_the_walls():
    """`lint-imports`, as in `make lint`."""
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("weights", [[], ["--pretrain", "layerwise"], ["--ae_weights"]])
def test_few_frames_stand_between_the_command_line_and_the_training_step(weights, tmp_path, small_network, monkeypatch):
    class Seen(Exception):
        pass

    def train(*_):
        ours = (str(ROOT / "dec_keras"), str(ROOT / "DEC.py"))
        raise Seen([frame.name for frame in traceback.extract_stack() if frame.filename.startswith(ours)])

    arguments = ["--dataset", "digits", "--pretrain_epochs", "1", "--maxiter", "1", "--save_dir", str(tmp_path)]
    if weights == ["--ae_weights"]:
        DEC([64, 16, 3], 10).autoencoder.save(tmp_path / "weights.h5")
        weights = ["--ae_weights", str(tmp_path / "weights.h5"), "--scale", "none"]
    monkeypatch.setattr(Trainer, "train", train)
    with pytest.raises(Seen) as seen:
        helpers.command(DEC, [*arguments, *weights])
    assert len(seen.value.args[0]) <= 4, seen.value.args[0]


def test_the_top_level_has_its_doors_alone():
    """They are what pip installs, and what the package must not import."""
    assert {path.stem for path in ROOT.glob("*.py")} == set(DOORS)
    assert set(PYPROJECT["tool"]["setuptools"]["py-modules"]) == set(DOORS)
    forbidden = [
        set(contract.get("forbidden_modules", ())) for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
    ]
    assert set(DOORS) in forbidden


def test_settings_of_tools_name_files_that_are_there():
    mutated = tomllib.loads((ROOT / "tests/mutation.toml").read_text())["cosmic-ray"]
    tests = re.findall(r"tests/\S+\.py", mutated["test-command"])
    assert [name for name in mutated["module-path"] + tests if not (ROOT / name).exists()] == []
    assert [name for name in PYPROJECT["tool"]["pyright"]["include"] if not (ROOT / name).exists()] == []


@pytest.fixture
def others(tmp_path):
    """A folder of other packages with names that are, or were, modules of this project."""
    for name in ("datasets", "metrics", "settings", "tables", "files", "figures"):
        (tmp_path / "others" / name).mkdir(parents=True)
        (tmp_path / "others" / name / "__init__.py").write_text("other = __name__\nload_data = 'theirs'\n")
    return tmp_path / "others"


@pytest.fixture
def installed(tmp_path):
    """The folder that pip would install the package to."""
    source, to = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(ROOT / "dec_keras", source / "dec_keras", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", *(f"{door}.py" for door in DOORS)):
        shutil.copy(ROOT / name, source)
    python("-c", "from setuptools import build_meta; build_meta.build_wheel('..')", cwd=source)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(to)
    return to


def test_the_package_holds_all_and_works_beside_others(installed, others, tmp_path):
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "dec_keras").rglob("*") if path.suffix in (".py", ".html")}
    there = {str(path.relative_to(installed)) for path in installed.rglob("*.*") if "dist-info" not in str(path)}
    assert there == files | {f"{door}.py" for door in DOORS}
    (metadata,) = installed.glob("*.dist-info/METADATA")
    assert f"\nVersion: {dec_keras.__version__}\n" in metadata.read_text()
    assert re.findall(r"^Requires-Dist: (tensorflow|pooch)", metadata.read_text(), re.MULTILINE)
    code = """
import DEC, IDEC, estimators, run_exp, choose_k, datasets, metrics, settings, dec_keras
print(*(module.__file__ for module in (DEC, IDEC, estimators, run_exp, choose_k, dec_keras)), sep="\\n")
print(datasets.other, metrics.other, settings.other)
"""
    *ours, theirs = python("-c", code, path=[others, installed], cwd=tmp_path).splitlines()
    assert all(file.startswith(str(installed)) for file in ours)
    assert theirs == "datasets metrics settings"


def test_the_other_datasets_is_reached_through_ours(others):
    """In the checkout, whose folder is first on the path."""
    code = """
from datasets import load_data, other, load_usps
import datasets
print(load_data.__module__, other, load_usps is datasets.load_usps, datasets.load_data, hasattr(datasets, "unknown"))
"""
    assert python("-c", code, path=[others]).split() == [
        "dec_keras.data.datasets",
        "datasets",
        "True",
        "theirs",
        "False",
    ]


def test_another_datasets_that_fails_leaves_ours(others):
    (others / "datasets/__init__.py").write_text("import no_such_module")
    code = """
import datasets, sys
try:
    datasets.load_dataset
except ModuleNotFoundError as error:
    print(error.name)
from datasets import load_usps
sys.path.remove(sys.argv[1])
print(hasattr(datasets, "load_dataset"))
"""
    assert python("-c", code, str(others), path=[others]).split() == ["no_such_module", "False"]


# Runs command lines one after the other, in one process since each would take a second to import NumPy and the rest.
PROBE = """
import runpy, sys
for command in sys.argv[1:]:
    sys.argv, code = command.split(), None
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    print("ended", code, *sorted({"keras", "tensorflow"} & set(sys.modules)), "by", command)
"""


def ends(commands):
    """How command lines end, and whether TensorFlow was loaded."""
    return [line for line in python("-c", PROBE, *commands).splitlines() if line.startswith("ended ")]


def test_help_loads_no_tensorflow():
    commands = [f"{script} -h" for script in ("DEC.py", "IDEC.py", "run_exp.py", "choose_k.py")]
    assert ends(commands) == [f"ended 0 by {command}" for command in commands]


def test_imports_without_tensorflow():
    code = "import sys, run_exp, choose_k, datasets, metrics; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert python("-c", code).strip() == "set()"


def test_wrong_arguments_end_before_tensorflow_is_loaded():
    commands = [
        "DEC.py --maxiter 0",
        "DEC.py --protocol none",
        "DEC.py --scale much",
        "DEC.py --dataset no-such-data",
        "DEC.py --dataset none.csv",
        "IDEC.py --dataset digits --ae_weights none",
        "DEC.py usps --dataset usps",
        "IDEC.py --gamma -1",
        "IDEC.py --typo",
        "IDEC.py predict",
        "choose_k.py --k 5:3",
        "figures.py",
        "choose_k.py --seed -1",
        "run_exp.py --trials 0",
        "run_exp.py --datasets no-such-data",
    ]
    assert ends(commands) == [f"ended 2 by {command}" for command in commands]


@pytest.fixture(scope="module")
def expected():
    """x, and what the saved models and estimators gave for it when they were saved."""
    with np.load(SAVED / "expected.npz") as arrays:
        return dict(arrays)


def assert_same(outputs, expected):
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_models_saved_before_load_in_keras(ending, expected):
    x = expected["x"]
    ae, dec, idec = (
        keras.models.load_model(SAVED / f"{name}.{ending}", compile=False) for name in ("ae", "dec", "idec")
    )
    assert_same(ae.predict(x, verbose=0), expected["ae"])
    assert_same(dec.predict(x, verbose=0), expected["dec"])
    q, reconstruction = idec.predict(x, verbose=0)
    assert_same(q, expected["idec"])
    assert reconstruction.shape == x.shape


@pytest.mark.parametrize("method", [DEC, IDEC])
def test_weights_saved_before_load(method, expected):
    model = method([6, 8, 3], n_clusters=3)
    model.load_weights(SAVED / f"{method.name.lower()}.h5")
    assert_same(model.soft_labels(expected["x"]), expected[method.name.lower()])


@pytest.mark.parametrize("name", ["dec", "idec", "pipeline"])
@pytest.mark.filterwarnings("ignore", category=InconsistentVersionWarning)
def test_estimators_pickled_before_load(name, expected):
    with open(SAVED / f"{name}.pkl", "rb") as file:
        estimator = pickle.load(file)
    assert_same(estimator.transform(expected["x"]), expected[f"{name}_pickle"])
