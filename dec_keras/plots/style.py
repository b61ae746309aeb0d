"""How figures look: colours and markers of groups, fonts, and how they are saved."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from dec_keras.files.atomic import atomic_write

MAX_GROUPS = 40  # distinguished in a scatter; if there are more, the smallest are drawn as one

# Optimized to be distinct in full colour vision, without one kind of cones (CIELAB distance at least 24; Petroff's ten
# colours have 17), and in grey (lightness 5 apart). The first differ most. After the last comes the next marker.
COLORS = (
    *("#4710CA", "#E77504", "#0E7A5E", "#C6B9EA", "#7AA1FC", "#093E4E"),
    *("#C00011", "#97699B", "#768F4E", "#F5C787", "#910595", "#FC92A7"),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # names of classes and terms may hold a $
    "svg.hashsalt": "DEC",  # the same ids, so the same file, every time
    "pdf.fonttype": 42,  # letters, not shapes: publishers ask for it
}
PAPER: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2,
    "grid.linewidth": 0.4,
    "lines.linewidth": 0.9,
    "lines.markersize": 2,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "ytick.minor.size": 1,
}
COLUMN = 3.3  # inches: a column's width in a paper of two columns
P = ParamSpec("P")


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Makes a drawing function use this project's style, and a paper's if its `title` is None, see `sheet`."""
    arguments = inspect.signature(function)

    @functools.wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        title = arguments.bind(*args, **kwargs).arguments["title"]
        with matplotlib.rc_context(rc=STYLE | PAPER if title is None else STYLE):
            return function(*args, **kwargs)

    return drawn


def sheet(width: float, height: float, title: str | None) -> tuple[Figure, float]:
    """A figure of this size in inches, shrunk to a column's width if `title` is None; and the factor of its size."""
    shrunk = COLUMN / width if title is None else 1.0
    figure = Figure(figsize=(width * shrunk, height * shrunk), layout="constrained")
    if title is not None:
        figure.suptitle(title)
    return figure, shrunk


@dataclass(frozen=True)
class GroupStyle:
    """How a group is drawn: its name in the legend, its tag among its points, and the index of colour and marker."""

    name: str
    tag: str
    index: int

    @property
    def color(self) -> str:
        return COLORS[self.index % len(COLORS)]

    @property
    def marker(self) -> str:
        return MARKERS[self.index // len(COLORS) % len(MARKERS)]


def group_styles(
    groups: np.ndarray, names: dict[Any, str], matched: dict[Any, int] | None = None
) -> tuple[np.ndarray, dict[Any, GroupStyle]]:
    """How each group is drawn.

    Args:
        groups: group of each sample, shape `(n,)`.
        names: {group: name} of all groups, in order.
        matched: {group: index of colour and marker}, to draw classes in their clusters' styles; None: in order. If
            there are enough colours for all groups, a group whose colour is taken gets a free one.

    Returns:
        groups of shape `(n,)`, with the smallest merged if there are more than `MAX_GROUPS`; and {group: GroupStyle}.
    """
    matched, order, others = matched or {}, list(names), None
    if len(order) > MAX_GROUPS:
        sizes = {group: np.sum(groups == group) for group in order}
        small = sorted(order, key=lambda group: -sizes[group])[MAX_GROUPS - 1 :]
        others = small[0]
        groups = np.where(np.isin(groups, small), others, groups)
        order = [group for group in order if group not in small] + [others]
        names = names | {others: f"{len(small)} others"}
    indices = _indices(order, matched)
    short = all(len(names[group]) <= 4 for group in order if group != others)
    styles = {}
    for i, group in enumerate(order):
        tag, name = (names[group], names[group]) if short else (str(i), f"{i} = {shorten(names[group], 18)}")
        tag, name = ("…", names[group]) if group == others else (tag, name)
        styles[group] = GroupStyle(name, tag, indices[group])
    return groups, styles


def _indices(order, matched):
    """{group: index of colour and marker}: its matched index, or the first free one of the least used colour."""
    avoidable, found = len(order) <= len(COLORS), {}
    for group in order:
        if group in matched and not (avoidable and matched[group] % len(COLORS) in _colours(found)):
            found[group] = matched[group]
    for group in order:
        if group not in found:
            free = set(range(len(order) + len(COLORS) + len(matched))) - set(found.values()) - set(matched.values())
            taken = _colours(found)
            found[group] = min(free, key=lambda i: (taken.count(i % len(COLORS)), i))
    return {group: found[group] for group in order}


def _colours(indices):
    return [index % len(COLORS) for index in indices.values()]


def grid_of_axes(panels, columns, width, height, title):
    """A `sheet` and one axes per panel of this size, row by row; at most two per row in a column's width."""
    columns = min(columns, panels, 2 if title is None else columns)
    rows = math.ceil(panels / columns)
    figure, _ = sheet(width * columns, height * rows + 0.5, title)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[panels:]:
        axis.remove()
    return figure, axes[:panels]


def shorten(name, length):
    name = str(name)
    return name if len(name) <= length else f"{name[: length - 1 - length // 3]}…{name[-(length // 3) :]}"


@matplotlib.rc_context(rc=STYLE)
def save(figure: Figure, path: str | PathLike, kinds: Sequence[str] = ("png", "svg")) -> None:
    """Saves a Figure as `path` + "." + each kind ("png", "svg", "pdf"); the files have the same bytes every time."""
    undated = {"png": None, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    for kind in kinds:
        with atomic_write(f"{path}.{kind}") as temporary:
            figure.savefig(temporary, dpi=300 if "pdf" in kinds else 150, metadata=undated[kind])
