"""Trains ClustPy for one epoch per line of input; training.py runs this with an interpreter that has ClustPy.

    python benchmarks/clustpy_rounds.py x.npy

A line names the phase, "pretraining" or "clustering". The answer "done" follows its epoch, in batches of 256.
"""

import sys

import numpy as np
import torch
from clustpy.deep._data_utils import get_dataloader
from clustpy.deep.dec import _DEC_Module
from clustpy.deep.neural_networks import FeedforwardAutoencoder

x = np.load(sys.argv[1])
network = FeedforwardAutoencoder([x.shape[1], 500, 500, 2000, 10])
loader = get_dataloader(x, 256, True)
module = _DEC_Module(np.random.default_rng(0).normal(size=(10, 10)).astype("float32"), 1.0, False)
optimizer = torch.optim.SGD([*network.parameters(), *module.parameters()], lr=0.01, momentum=0.9)
loss = torch.nn.MSELoss()

for line in sys.stdin:
    if line.strip() == "pretraining":
        network.fit(1, {"lr": 1e-3}, 256, data=x)
    else:
        module.fit(network, loader, 1, torch.device("cpu"), optimizer, loss, 1.0, 0.0)
    print("done", flush=True)
