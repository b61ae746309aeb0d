"""A sweep: finds the trials that are left, runs them in processes or on a dask cluster, and keeps their rows."""

import json
import traceback
from contextlib import contextmanager
from datetime import datetime

import joblib
from tqdm import tqdm

from dec_keras.data.datasets import MissingData, is_here, load_data
from dec_keras.data.reading import DATASETS
from dec_keras.errors import InputError
from dec_keras.files.atomic import write_text
from dec_keras.files.run_folder import lock_folder, writable_folder
from dec_keras.files.untrusted import read_json
from dec_keras.sweeps.report import write_report
from dec_keras.sweeps.results import METHODS, read_rows, write_rows

DASK_SECONDS = 10  # maximum wait for a scheduler, and for its first worker


def sweep(args, run_trial):
    """Runs the trials that have no rows yet, and writes the report; returns whether anything failed.

    Args:
        args: namespace of `run_exp.parse`.
        run_trial: `run_exp.run_trial`.
    """
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
    with lock_folder(args.folder):
        common = settings | ({"files": files} if files else {})
        write_text(args.folder / "settings.json", json.dumps(common, indent=2) + "\n")
        failed = run(args, todo, run_trial)
        if read_rows(args.folder / "results.csv"):
            write_report(args.folder)
    return failed


def check_same_settings(path, settings, files):
    """Raises InputError if the sweep has rows of other settings, or of another file with the same name.

    Returns:
        {name: path} of all files of your own in the sweep, including those of earlier calls.
    """
    old = read_json(path) if path.exists() else settings
    earlier = old.get("files", {})
    differ = [f"{name} {old.get(name)}" for name in settings if old.get(name) != settings[name]]
    differ += [f"{name} {earlier[name]}" for name in files if earlier.get(name, files[name]) != files[name]]
    if differ:
        raise InputError(f"{path.parent} was made with {', '.join(differ)}: give the same, or another --name.")
    return earlier | files


def tasks(args, settings, rows):
    """The tasks that are left, in the order of running: a dict for each data set and trial with missing methods."""
    done = {(row["dataset"], row["trial"], row["method"]) for row in rows}
    todo = []
    for label, dataset in args.datasets.items():
        for trial in range(1, args.trials + 1):
            methods = [name for name in METHODS if name in args.methods and (label, trial, name) not in done]
            task = {"label": label, "dataset": dataset, "trial": trial, "methods": methods}
            task |= settings | {"seed": settings["seed"] + trial - 1}
            task["folder"] = str(args.folder / label / f"trial{trial}")
            task["script"] = str(args.script)
            if methods:
                todo.append(task)
    return todo


def print_plan(args, todo):
    """Prints what is done and what would run, one line for each data set and trial."""
    left = {(task["label"], task["trial"]): task["methods"] for task in todo}
    for label, dataset in args.datasets.items():
        if not is_here(dataset):
            print(f"{label}: its files are not here; they would be downloaded, or it would be skipped")
        for trial in range(1, args.trials + 1):
            methods = left.get((label, trial))
            print(f"{label}, trial {trial}:", f"would run {', '.join(methods)}" if methods else "done")
    print(f"{len(todo)} of {len(args.datasets) * args.trials} trials would run.")


def run(args, todo, run_trial):
    """Runs the tasks and keeps their rows; returns whether anything failed."""
    todo, failed = loadable(args, todo)
    with workers(args):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
        outcomes = parallel(joblib.delayed(run_trial)(task, args.jobs) for task in todo)
        try:
            bar = tqdm(outcomes, desc="trials", total=len(todo), unit="trial", smoothing=0, disable=None)
            for done, (task, outcome) in enumerate(bar, start=1):
                failed |= keep(args.folder, task, outcome)
                if bar.disable:  # no terminal shows the bar
                    print(f"{task['label']}, trial {task['trial']}: done, {done} of {len(todo)}", flush=True)
        except Exception as error:  # the cluster is lost, or workers died of one trial again and again
            if args.dask is None or isinstance(error, InputError):
                raise
            log_error(args.folder, args.dask, traceback.format_exc())
            failed = True
    return failed


@contextmanager
def workers(args):
    """Sets the backend of joblib: threads, each of which waits for a process, or a dask cluster."""
    if args.dask is None:
        with joblib.parallel_config(backend="threading", n_jobs=args.jobs):
            yield
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
            joblib.effective_n_jobs()
        except TimeoutError:
            raise InputError(
                f"The dask scheduler at {args.dask} has no workers: start some, `dask worker {args.dask}`."
            ) from None
        yield


def keep(folder, task, outcomes):
    """Adds a trial's rows to results.csv and its errors to errors.log; returns whether there were errors."""
    rows = [outcome["row"] for outcome in outcomes.values() if "row" in outcome]
    write_rows(folder / "results.csv", read_rows(folder / "results.csv") + rows)
    errors = {method: outcome["error"] for method, outcome in outcomes.items() if "error" in outcome}
    for method, error in errors.items():
        log_error(folder, f"{task['label']}, trial {task['trial']}, {method}", error)
    return bool(errors)


def loadable(args, todo):
    """The tasks whose data can be loaded, and whether a data set is invalid; a missing one is only reported."""
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
