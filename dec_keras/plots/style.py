"""How figures look: colours and markers of groups, fonts, and how they are saved."""

import math
from dataclasses import dataclass
from os import PathLike
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from dec_keras.files.atomic import atomic_write

MAX_GROUPS = 40  # told apart in a scatter; the smallest beyond it are drawn as one

# Optimized to stay apart to full colour vision and without one kind of cones (CIELAB distance 24 and more; of
# Petroff's ten 17), and in grey (lightness 5 apart); the first ones are the farthest. Past them comes the next marker.
COLORS = (
    *("#4710CA", "#E77504", "#C6B9EA", "#0E7A5E", "#7AA1FC", "#093E4E"),
    *("#C00011", "#97699B", "#768F4E", "#F5C787", "#910595", "#FC92A7"),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # names of classes and terms may hold a $
    "svg.hashsalt": "DEC",  # the same ids, so the same file, every time
}
styled = matplotlib.rc_context(rc=STYLE)


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
        groups: of the samples, shape `(n,)`.
        names: {group: name} of all groups, in order.
        matched: {group: index of colour and marker}, for classes in their clusters' styles; or None: in order. Where
            there are colours for all groups, one whose colour another has gets a free one.

    Returns:
        groups of shape `(n,)` in which the smallest of more than `MAX_GROUPS` are one, and {group: GroupStyle}.
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
    """{group: index of colour and marker}: the one matched to it, or the first free one of a colour that few have."""
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


def grid_of_axes(panels, columns, width, height):
    """A figure, and its axes row by row, as many as there are panels."""
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(width, height * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[panels:]:
        axis.remove()
    return figure, axes[:panels]


def shorten(name, length):
    name = str(name)
    return name if len(name) <= length else f"{name[: length - 1 - length // 3]}…{name[-(length // 3) :]}"


@matplotlib.rc_context(rc=STYLE)
def save(figure: Figure, path: str | PathLike) -> None:
    """Saves a Figure as `path` + ".png" and ".svg", byte for byte the same every time."""
    for suffix, metadata in ((".png", None), (".svg", {"Date": None})):
        with atomic_write(f"{path}{suffix}") as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
