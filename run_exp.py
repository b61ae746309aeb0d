"""Sweep: runs methods x data sets x trials, writes results/<name>/results.csv, tables and figures; can be resumed.

    python run_exp.py                                       (10 trials of all methods, as DEC-keras' run_exp.py)
    python run_exp.py --datasets usps pendigits --trials 5 --methods DEC IDEC
    python run_exp.py --protocol fast --datasets mnist --name fast --jobs 2
    python run_exp.py --dry-run

Trial t has the seed `--seed` + t - 1: `python DEC.py --dataset usps --seed 3` repeats the trial with seed 3.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import joblib
from tqdm import tqdm

from dec_keras.console import THREADS, Parser, import_tensorflow, script_errors
from dec_keras.data.reading import ALIASES, DATASETS
from dec_keras.errors import InputError, check_whole, nearest
from dec_keras.method.protocols import CHECKS, MAX_SEED, PROTOCOLS
from dec_keras.sweeps.results import METHODS, PHASE
from dec_keras.sweeps.sweep import sweep

SEEDS_DATASETS = ("usps", "reuters10k", "stl", "mnist", "fmnist")  # DEC-keras' run_exp.py


def main(arguments=None):
    """Runs the sweep; the exit code is 0, 1 if a trial failed, or 2 after one sentence about bad input."""
    with script_errors("run_exp.py", "Stopped. The same command goes on."):
        failed = sweep(parse(arguments), run_trial)
    sys.exit(1 if failed else 0)


def run_one_trial(task):
    """Runs a trial in this process, which the sweep started for it."""
    import_tensorflow()
    from DEC import DEC
    from dec_keras.sweeps import trial
    from IDEC import IDEC

    trial.main(task, {"DEC": DEC, "IDEC": IDEC})


def parse(arguments=None):
    """Parses the command line into a namespace and checks it.

    Raises:
        InputError: if a value is out of range.
    """
    parser = Parser(prog="run_exp.py", description="Run methods x data sets x trials, and make the tables of them.")
    add = parser.add_argument
    names = f"{', '.join(DATASETS)}; or paths of .npz files with x and y (default: %(default)s)"
    add("--datasets", nargs="+", metavar="DATASET", default=list(SEEDS_DATASETS), help=names)
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    add("--trials", default=10, help="of each method and data set (default: %(default)s)")
    add("--protocol", choices=list(PROTOCOLS), default="dec-keras", help="whose settings (default: %(default)s)")
    add("--seed", default=0, help="of the first trial; each one has the next (default: %(default)s)")
    add("--name", default="exp1", help="results go to results/<name> (default: %(default)s)")
    add("--jobs", default=1, help="trials at a time, which share a machine's cores (default: %(default)s)")
    add("--dask", metavar="ADDRESS", help="a dask.distributed scheduler's, as tcp://host:8786: run on its workers")
    add("--pretrain_epochs", help="epochs of pretraining (default: the protocol's)")
    add("--maxiter", help="most batches of clustering (default: the protocol's)")
    add("--dry-run", action="store_true", help="only list what is there and what would run")
    add("--report-only", action="store_true", help="only make the tables and figures of results.csv")
    args = parser.parse_args(arguments)
    args.trials = check_whole("--trials", args.trials, at_least=1)
    args.seed = check_whole("--seed", args.seed, at_least=0, at_most=MAX_SEED + 1 - args.trials)
    args.jobs = check_whole("--jobs", args.jobs, at_least=1)
    for name in ("pretrain_epochs", "maxiter"):
        if getattr(args, name) is not None:
            setattr(args, name, CHECKS[name](f"--{name}", getattr(args, name)))
    if Path(args.name).name != args.name or args.name in ("", ".."):
        raise InputError(f"--name is {args.name!r}: it must be the name of a folder, which is made in results.")
    args.folder = Path("results", args.name).resolve()
    args.datasets = named(args.datasets)
    args.script = Path(__file__).resolve()
    return args


def named(datasets):
    """{name in the results: argument of load_data} for each data set."""
    by_name = {}
    for dataset in dict.fromkeys(ALIASES.get(dataset, dataset) for dataset in datasets):
        path, known = Path(dataset), dataset in DATASETS
        if not known and not path.is_file():
            guess = nearest(dataset, (*DATASETS, *ALIASES))
            raise InputError(f"There is no data set or file {dataset!r}: choose from {', '.join(DATASETS)}.{guess}")
        name = dataset if known else path.stem
        if not known and name in (*DATASETS, *ALIASES):
            raise InputError(f"{dataset} is called like the data set {name}: rename it.")
        if name in by_name:
            raise InputError(f"Two data sets are called {name}: rename one, since their results would be mixed.")
        by_name[name] = dataset if known else str(path.resolve())
    return by_name


def run_trial(task, jobs):
    """Runs a task; an error in the task stops nothing else.

    dask sends a script's functions by value, so workers import nothing of this project. They start `task["script"]`.

    Args:
        task: a dict of `sweep.tasks`.
        jobs: number of trials that share a machine's cores.

    Returns:
        the task, and {method: a dict with its "row", or with its "error", a traceback}.
    """
    try:
        return task, trial_process(task, jobs)
    except Exception:  # a folder that cannot be made, a damaged outcome, no memory for a process
        return task, {method: {"error": traceback.format_exc()} for method in task["methods"]}


def trial_process(task, jobs):
    """Runs a task in its own process, so that memory is freed and a crash stops nothing else; returns its outcomes."""
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    paths = {method: folder / f"{method}.json" for method in task["methods"]}
    for path in paths.values():
        if path.exists() and "error" in json.loads(path.read_text()):
            path.unlink()  # so that the method runs again
    threads = str(max(1, joblib.cpu_count() // jobs))
    environment = dict.fromkeys(THREADS, threads) | os.environ
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(  # it ends when its stdin closes
            [sys.executable, task["script"], "trial", json.dumps(task)],
            env=environment,
            encoding="utf-8",
            errors="backslashreplace",
            **streams,
        )
        for line in process.stdout:
            log.write(line)
            log.flush()
            if line.startswith(PHASE):
                tqdm.write(line.removeprefix(PHASE).rstrip())
        code = process.wait()
    crash = {"error": f"The trial's process ended with code {code}, before its result: see {folder / 'log.txt'}."}
    return {name: json.loads(path.read_text()) if path.exists() else crash for name, path in paths.items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["trial"]:
        run_one_trial(sys.argv[2])
    else:
        main()
