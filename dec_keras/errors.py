"""Errors in one sentence, and checks of arguments that raise them."""

import difflib
import math
from argparse import ArgumentTypeError

import numpy as np


class InputError(ArgumentTypeError, ValueError):
    """Bad input. The message says in one sentence what is wrong and what to do; argparse prints it as its own error."""


def float_or_nan(value):
    """Converts a number or its text to float; NaN for anything else, such as "NA", None or an int beyond a float."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def nearest(name, choices, dashes=""):
    """Returns " Did you mean usps?", the end of an error message, if `name` is close to one of `choices`; else ""."""
    by_small_letters = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(str(name).lower(), by_small_letters, n=1)
    return f" Did you mean {dashes}{by_small_letters[found[0]]}?" if found else ""


def check_whole(name, value, at_least, at_most=None):
    """Returns `value` as an int.

    Args:
        name: name of the value in the error message.
        value: a number, or text such as "20000" or "2e4".
        at_least: the smallest value allowed.
        at_most: the largest value allowed, or None.

    Raises:
        InputError: if it is no whole number, too small or too large.
    """
    number = float_or_nan(value)
    if not number.is_integer() or number < at_least:
        raise InputError(f"{name} is {value}: it must be a whole number of at least {at_least}.")
    if at_most is not None and number > at_most:
        raise InputError(f"{name} is {value}: it must be at most {at_most}.")
    return int(number)


def check_dims(name, value):
    """Returns numbers of units, one for each layer, as a tuple of ints.

    Raises:
        InputError: if they are no sequence of whole numbers of at least 1.
    """
    if np.ndim(value) != 1:
        raise InputError(f"{name} is {value}: it must be a list of numbers of units, such as (500, 500, 2000, 10).")
    return tuple(check_whole(f"a layer of {name}", units, at_least=1) for units in value)


def check_share(name, value):
    """Returns `value` as a float.

    Raises:
        InputError: if it is no number in [0, 1].
    """
    share = float_or_nan(value)
    if not 0 <= share <= 1:
        raise InputError(f"{name} is {value}: it must be a number from 0 to 1.")
    return share


def check_number(name, value, above=None, at_least=None):
    """Returns `value` as a float.

    Raises:
        InputError: if it is not a finite number, not greater than `above`, or less than `at_least`.
    """
    number = float_or_nan(value)
    if not math.isfinite(number):
        raise InputError(f"{name} is {value}: it must be a number.")
    if above is not None and not number > above:
        raise InputError(f"{name} is {value}: it must be above {above}.")
    if at_least is not None and number < at_least:
        raise InputError(f"{name} is {value}: it must be at least {at_least}.")
    return number


def check_choice(name, value, choices):
    """Returns `value`.

    Raises:
        InputError: if it is none of `choices`.
    """
    if value not in choices:
        raise InputError(f"{name} is {value!r}: choose from {', '.join(choices)}.")
    return value


def differences(had, has):
    """Lists the settings that differ between two dicts, each as "seed 0 (now 1)"."""
    return [f"{name} {had.get(name)} (now {has.get(name)})" for name in has | had if had.get(name) != has.get(name)]


def check_finite(values, what):
    """Raises FloatingPointError unless all `values` are finite. The message says what to do."""
    if not np.all(np.isfinite(values)):
        raise FloatingPointError(
            f"Training diverged: {what} is no longer a number; "
            "scale the data to about [0, 1] (no huge values), or lower the optimizer's learning rate."
        )


def check_assigned(q):
    """Raises InputError unless all of q, shape `(n, k)`, is finite. It is not if a sample's code overflows float32."""
    if (lost := np.flatnonzero(~np.isfinite(q).all(axis=1))).size:
        raise InputError(
            f"{lost.size} of {len(q)} samples, the first in row {lost[0]}, have values so far beyond the training's "
            "that the model has no cluster for them: check or drop them."
        )
