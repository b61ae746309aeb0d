"""Draws the autoencoder, the DEC model and the IDEC model, as the class builds them for MNIST, to docs/model_*.png.

python -m tools.draw_models
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dec_keras.method.protocols import CODE_DIMS
from IDEC import IDEC

DOCS = Path(__file__).resolve().parent.parent / "docs"
COLOURS = {"input": "#bbbbbb", "encoder": "#56b4e9", "decoder": "#e69f00", "clustering": "#009e73"}
OUTPUTS = {"decoder_0": "reconstruction of x", "clustering": "Q"}
WIDTH, TALLEST = 0.5, 1.2  # size of a layer's box; neighbouring layers are 1 apart
BRANCH = 1.2  # how far the clustering layer of IDEC is above the decoder


def draw(model):
    """A Keras model as a Figure: one box per layer, from left to right, its height by the square root of its units."""
    places = _places(model)
    most = max(layer.output.shape[-1] for layer in model.layers)
    width, top = (max(place[axis] for place in places.values()) for axis in (0, 1))
    figure = Figure(figsize=(width + 3, top + 1.9))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-1, width + 2), ylim=(-1.1, top + 0.8))
    axes.axis("off")
    axes.text(-WIDTH / 2 - 0.1, 0, "x", ha="right", va="center", style="italic")
    for layer in model.layers:
        (column, row), units = places[id(layer.output)], layer.output.shape[-1]
        height = TALLEST * (units / most) ** 0.5
        colour = COLOURS[layer.name.split("_")[0]]
        axes.add_patch(Rectangle((column - WIDTH / 2, row - height / 2), WIDTH, height, color=colour))
        side, align = (1, "bottom") if row else (-1, "top")  # text above a branch, away from its arrow
        text = {"ha": "center", "va": align, "fontsize": 9}
        axes.text(column, row + side * (height / 2 + 0.08), f"{layer.name}\n{units}", **text)
        if column > 0:
            start = places[id(layer.input)]
            ends = {"xy": (column - WIDTH / 2, row), "xytext": (start[0] + WIDTH / 2, start[1])}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": "#555555"})
        if any(output is layer.output for output in model.outputs):
            axes.text(column + WIDTH / 2 + 0.1, row, OUTPUTS[layer.name], va="center", style="italic")
    return figure


def _places(model):
    """{id of a layer's output: (column, row)}; the decoder is in the row of the encoder."""
    places = {}
    for layer in model.layers:
        column, row = places.get(id(layer.input), (-1, 0))
        is_branch = layer.name == "clustering" and len(model.outputs) > 1
        places[id(layer.output)] = (column + 1, row + BRANCH * is_branch)
    return places


if __name__ == "__main__":
    idec = IDEC([784, *CODE_DIMS], n_clusters=10)
    for name, model in {"ae": idec.autoencoder, "dec": idec.clusterer, "idec": idec.model}.items():
        draw(model).savefig(DOCS / f"model_{name}.png", dpi=72, metadata={"Software": None})
