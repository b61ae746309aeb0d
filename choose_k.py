"""How many clusters? Clusters a data set into k = 2, 3, ... clusters on one pretrained autoencoder, and compares.

python choose_k.py --dataset usps --ae_weights ae_weights/usps_ae_weights.h5
python choose_k.py --dataset my_data.npy --k 2:30 --save_dir results/how_many
python choose_k.py -h
"""

import re
from functools import partial
from pathlib import Path

from dec_keras.console import Parser, import_tensorflow, script_errors
from dec_keras.errors import InputError, check_share
from dec_keras.runs.command_line import add_shared_options, check_paths, config_of


def main(arguments=None):
    """Compares numbers of clusters from the command line; bad input prints one sentence and exits with code 2."""
    args, config = parse(arguments)
    with script_errors("choose_k.py", "Stopped. The same command goes on."):
        check_paths(config)
        import_tensorflow()
        from DEC import DEC
        from dec_keras.sweeps.numbers_of_clusters import choose_k

        choose_k(DEC, config, args.k, args.validation, args.save_dir, args.verbose)


def parse(arguments=None):
    """Parses the command line into a namespace of k (a range), validation (a share) and save_dir, and a RunConfig."""
    parser = Parser(
        prog="choose_k.py", description="Compare numbers of clusters on one pretrained autoencoder, and suggest one."
    )
    *_, output = add_shared_options(parser)
    compared = parser.add_argument_group("comparison")
    numbers = "the numbers of clusters to compare, from:to (default: 2:20)"
    compared.add_argument("--k", type=_numbers, default=range(2, 21), metavar="FROM:TO", help=numbers)
    share = "share of the samples that G's validation loss is taken on (default: %(default)s)"
    check = partial(check_share, "the value")
    compared.add_argument("--validation", type=check, default=0.2, metavar="SHARE", help=share)
    folder = "folder of the results (default: results/choose_k/ and the data set's name)"
    output.add_argument("--save_dir", type=Path, help=folder)
    args = parser.parse_args(arguments)
    config = config_of(parser, "DEC", args, args.dataset or "mnist", n_clusters=args.k[-1])
    name = Path(config.dataset_name.partition(":")[0]).resolve().stem  # without the array's name and the file's ending
    args.save_dir = args.save_dir or Path("results", "choose_k", name)
    return args, config


def _numbers(text):
    parts = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, parts.groups()) if parts else (0, 0)
    if not 2 <= first < last:
        raise InputError(f"the value is {text}: give the smallest, at least 2, and the largest number, such as 2:20.")
    return range(first, last + 1)


if __name__ == "__main__":
    main()
