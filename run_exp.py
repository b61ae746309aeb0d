"""Sweeps methods x data sets x trials into `results/<name>/results.csv`, tables and figures; resumes what was cut off.

    python run_exp.py                                       (10 trials of all methods, as DEC-keras' run_exp.py)
    python run_exp.py --datasets usps pendigits --trials 5 --methods DEC IDEC
    python run_exp.py --protocol fast --datasets mnist --name fast --jobs 2
    python run_exp.py --dry-run

Trial t has the seed `--seed` + t - 1: `python DEC.py --dataset usps --seed 3` is the trial of seed 3.
"""

import argparse
import json
import os
import subprocess
import sys
import traceback
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import joblib

from datasets import ALIASES, DATASETS, MissingData, is_here, load_data
from files import InputError, check_whole, errors_told, only_run, writable_folder, write_text
from settings import MAX_SEED, MAXITER, PROTOCOLS
from tables import METHODS, read_rows, write_report, write_rows
from untrusted import read_json

TRIAL = Path(__file__).resolve().parent / "trial.py"
DASK_SECONDS = 10  # to wait for a scheduler, and for its first worker
SEEDS_DATASETS = ("usps", "reuters10k", "stl", "mnist", "fmnist")  # DEC-keras' run_exp.py


def main(arguments=None):
    """Runs the sweep; exit code 0, 1 if a trial failed, or 2 with a sentence for bad input."""
    with errors_told("run_exp.py", "Stopped. The same command goes on."):
        failed = sweep(parse(arguments))
    sys.exit(1 if failed else 0)


def parse(arguments=None):
    """The command line as a namespace, checked.

    Raises:
        InputError: if a value is out of range.
    """
    parser = argparse.ArgumentParser(
        prog="run_exp.py", description="Run methods x data sets x trials, and make the tables of them."
    )
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
    add("--maxiter", default=MAXITER, help="most batches of clustering (default: %(default)s)")
    add("--dry-run", action="store_true", help="only list what is there and what would run")
    add("--report-only", action="store_true", help="only make the tables and figures of results.csv")
    args = parser.parse_args(arguments)
    args.trials = check_whole("--trials", args.trials, at_least=1)
    args.seed = check_whole("--seed", args.seed, at_least=0, at_most=MAX_SEED + 1 - args.trials)
    args.jobs = check_whole("--jobs", args.jobs, at_least=1)
    args.maxiter = check_whole("--maxiter", args.maxiter, at_least=1)
    if args.pretrain_epochs is not None:
        args.pretrain_epochs = check_whole("--pretrain_epochs", args.pretrain_epochs, at_least=1)
    if Path(args.name).name != args.name or args.name in ("", ".."):
        raise InputError(f"--name is {args.name!r}: it must be the name of a folder, which is made in results.")
    args.folder = Path("results", args.name).resolve()
    args.datasets = named(args.datasets)
    return args


def named(datasets):
    """{its name in the results: what load_data takes} of each data set."""
    by_name = {}
    for dataset in dict.fromkeys(ALIASES.get(dataset, dataset) for dataset in datasets):
        path, known = Path(dataset), dataset in DATASETS
        if not known and not path.is_file():
            raise InputError(f"There is no data set or file {dataset!r}: choose from {', '.join(DATASETS)}.")
        name = dataset if known else path.stem
        if not known and name in (*DATASETS, *ALIASES):
            raise InputError(f"{dataset} is called like the data set {name}: rename it.")
        if name in by_name:
            raise InputError(f"Two data sets are called {name}: rename one, since their results would be mixed.")
        by_name[name] = dataset if known else str(path.resolve())
    return by_name


def sweep(args):
    """Runs what is not there yet and reports; returns whether anything failed."""
    if args.report_only:
        write_report(args.folder)
        return False
    settings = {name: getattr(args, name) for name in ("protocol", "seed", "pretrain_epochs", "maxiter")}
    files = {label: dataset for label, dataset in args.datasets.items() if label not in DATASETS}
    files = check_same_settings(args.folder / "settings.json", settings, files)
    todo = tasks(args, settings, read_rows(args.folder / "results.csv"))
    if args.dry_run:
        print_plan(args, todo)
        return False
    writable_folder(args.folder)
    with only_run(args.folder):
        common = settings | ({"files": files} if files else {})
        write_text(args.folder / "settings.json", json.dumps(common, indent=2) + "\n")
        failed = run(args, todo)
        if read_rows(args.folder / "results.csv"):
            write_report(args.folder)
            print(f"Results: {args.folder / 'README.md'}")
    return failed


def check_same_settings(path, settings, files):
    """Rows of other settings are not to be mixed with these, nor of other files of the same name.

    Returns:
        {name: path} of all of the sweep's own files, those of earlier calls too.
    """
    old = read_json(path) if path.exists() else settings
    earlier = old.get("files", {})
    differ = [f"{name} {old.get(name)}" for name in settings if old.get(name) != settings[name]]
    differ += [f"{name} {earlier[name]}" for name in files if earlier.get(name, files[name]) != files[name]]
    if differ:
        raise InputError(f"{path.parent} was made with {', '.join(differ)}: give the same, or another --name.")
    return earlier | files


def tasks(args, settings, rows):
    """What is left to do: a dict for each data set and trial that lacks methods, in the order of running."""
    done = {(row["dataset"], row["trial"], row["method"]) for row in rows}
    todo = []
    for label, dataset in args.datasets.items():
        for trial in range(1, args.trials + 1):
            methods = [name for name in METHODS if name in args.methods and (label, trial, name) not in done]
            task = {"label": label, "dataset": dataset, "trial": trial, "methods": methods}
            task |= settings | {"seed": settings["seed"] + trial - 1}
            task["folder"] = str(args.folder / label / f"trial{trial}")
            if methods:
                todo.append(task)
    return todo


def print_plan(args, todo):
    """What is there and what would run, a line for each data set and trial."""
    left = {(task["label"], task["trial"]): task["methods"] for task in todo}
    for label, dataset in args.datasets.items():
        if not is_here(dataset):
            print(f"{label}: its files are not here; they would be downloaded, or it would be skipped")
        for trial in range(1, args.trials + 1):
            methods = left.get((label, trial))
            print(f"{label}, trial {trial}:", f"would run {', '.join(methods)}" if methods else "done")
    print(f"{len(todo)} of {len(args.datasets) * args.trials} trials would run.")


def run(args, todo):
    """Runs the tasks and keeps their rows; returns whether anything failed."""
    path = args.folder / "results.csv"
    todo, failed = loadable(args, todo)
    with workers(args) as slots:
        progress = Progress(todo, slots, read_rows(path))
        progress.print()
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
        try:
            for task, outcomes in parallel(joblib.delayed(run_trial)(task, args.jobs) for task in todo):
                failed |= keep(args.folder, task, outcomes)
                progress.ended(task, read_rows(path))
                progress.print()
        except Exception as error:  # the cluster is lost, or workers died of one trial again and again
            if args.dask is None or isinstance(error, InputError):
                raise
            log_error(args.folder, args.dask, traceback.format_exc())
            failed = True
    return failed


@contextmanager
def workers(args):
    """Sets what joblib runs on: threads, each of which waits for a process, or a dask cluster; yields how many."""
    if args.dask is None:
        with joblib.parallel_config(backend="threading", n_jobs=args.jobs):
            yield args.jobs
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--dask needs dask.distributed: pip install distributed.") from None
    try:
        client = Client(args.dask, timeout=DASK_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"There is no dask scheduler at {args.dask} ({error}): start one, `dask scheduler`."
        ) from error
    with client, joblib.parallel_config(backend="dask", client=client, wait_for_workers_timeout=DASK_SECONDS):
        try:
            slots = joblib.effective_n_jobs()
        except TimeoutError:
            raise InputError(
                f"The dask scheduler at {args.dask} has no workers: start some, `dask worker {args.dask}`."
            ) from None
        yield slots


def keep(folder, task, outcomes):
    """Adds a trial's rows to results.csv and its errors to errors.log; returns whether there were errors."""
    rows = [outcome["row"] for outcome in outcomes.values() if "row" in outcome]
    write_rows(folder / "results.csv", read_rows(folder / "results.csv") + rows)
    errors = {method: outcome["error"] for method, outcome in outcomes.items() if "error" in outcome}
    for method, error in errors.items():
        log_error(folder, f"{task['label']}, trial {task['trial']}, {method}", error)
    return bool(errors)


def loadable(args, todo):
    """The tasks whose data can be loaded, and whether a data set is damaged; one that is absent is only named."""
    bad, failed = set(), False
    for label in dict.fromkeys(task["label"] for task in todo):
        try:
            if load_data(args.datasets[label])[1] is None:
                raise InputError(f"{label} has no labels to score by: give an .npz file with x and y.")
        except MissingData as error:
            print(f"Skipped {label}: {error}")
            bad.add(label)
        except InputError:
            log_error(args.folder, label, traceback.format_exc())
            bad.add(label)
            failed = True
    return [task for task in todo if task["label"] not in bad], failed


def log_error(folder, what, error):
    """Keeps an error's traceback in errors.log, and prints its last line."""
    with open(folder / "errors.log", "a", encoding="utf-8") as log:
        log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {what}\n{error.rstrip()}\n\n")
    print(f"FAILED: {what}: {error.strip().splitlines()[-1]} (see {folder / 'errors.log'})", flush=True)


def run_trial(task, jobs):
    """Runs a task; an error of it ends nothing else.

    It calls no other module of this project: dask's workers, which get it by value, may not find one.

    Args:
        task: a dict of `tasks`.
        jobs: how many trials share a machine's cores.

    Returns:
        the task, and for each method a dict with its "row" or its "error", a traceback.
    """
    try:
        return task, trial_process(task, jobs)
    except Exception:  # a folder that cannot be made, a damaged outcome, no memory for a process
        return task, {method: {"error": traceback.format_exc()} for method in task["methods"]}


def trial_process(task, jobs):
    """A task's outcomes, of a process of its own, so that memory is freed and a crash ends nothing else."""
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    paths = {method: folder / f"{method}.json" for method in task["methods"]}
    for path in paths.values():
        if path.exists() and "error" in json.loads(path.read_text()):
            path.unlink()  # to be tried again
    limits = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = str(max(1, joblib.cpu_count() // jobs))
    environment = {name: threads for name in (*limits, "MKL_NUM_THREADS")} | os.environ
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    with open(folder / "log.txt", "a") as log:
        streams = {"stdin": subprocess.PIPE, "stdout": log, "stderr": subprocess.STDOUT}  # it ends with its stdin
        process = subprocess.Popen([sys.executable, str(TRIAL), json.dumps(task)], env=environment, **streams)
        code = process.wait()
    crash = {"error": f"The trial's process ended with code {code}, before its result: see {folder / 'log.txt'}."}
    return {name: json.loads(path.read_text()) if path.exists() else crash for name, path in paths.items()}


class Progress:
    """The line that says what runs, what is left, and when it ends."""

    def __init__(self, todo, slots, rows):
        self.left, self.slots, self.all = list(todo), slots, len(todo)
        self.rows = rows

    def ended(self, task, rows):
        self.left.remove(task)
        self.rows = rows

    def print(self):
        line = f"[{datetime.now():%H:%M}] {self.all - len(self.left)} of {self.all} trials done"
        if self.left:
            running = ", ".join(f"{task['label']} {task['trial']}" for task in self.left[: self.slots])
            line += f"; running: {running}; waiting: {max(0, len(self.left) - self.slots)}; {self.expected_end()}"
        print(line, flush=True)

    def expected_end(self):
        """From the mean seconds that each method took on each data set."""
        seconds = {}
        for row in self.rows:
            for what, column in ((row["method"], "cluster_seconds"), ("pretraining", "pretrain_seconds")):
                if row[column] is not None:  # k-means has no pretraining
                    seconds.setdefault((row["dataset"], what), []).append(row[column])
        parts = [(task["label"], method) for task in self.left for method in task["methods"]]
        parts += [(task["label"], "pretraining") for task in self.left if task["methods"] != ["k-means"]]
        if not all(part in seconds for part in parts):
            return "end: not known before a trial of each data set is done"
        left = sum(sum(seconds[part]) / len(seconds[part]) for part in parts) / min(self.slots, len(self.left))
        return f"expected end: {datetime.now() + timedelta(seconds=left):%a %H:%M}"


if __name__ == "__main__":
    main()
