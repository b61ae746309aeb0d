"""What DEC.py and IDEC.py do as scripts."""

from dec_keras.console import script_errors
from dec_keras.runs.predict import predict_file
from dec_keras.runs.run import run


def run_script(method, config, options):
    """Runs or predicts; bad input ends in a sentence and exit code 2. Arguments as `parse_run` gives them."""
    can_go_on = config is not None and options.strategy != "multiworker"
    how_to_go_on = " The same command with --resume goes on." if can_go_on else ""
    with script_errors(f"{method.name}.py", f"Stopped.{how_to_go_on}"):
        if config is None:
            predict_file(options)
        else:
            run(method, config, options)
