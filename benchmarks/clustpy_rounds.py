"""Run by training.py with an interpreter that has ClustPy: times one epoch of both phases for each line of input.

    python benchmarks/clustpy_rounds.py x.npy

Prints, for each line that it reads, the seconds of an epoch of pretraining and of clustering, batches of 256.
"""

import sys
from time import perf_counter

import numpy as np
import torch
from clustpy.deep._data_utils import get_dataloader
from clustpy.deep.dec import _DEC_Module
from clustpy.deep.neural_networks import FeedforwardAutoencoder

x = np.load(sys.argv[1])
torch.set_num_threads(torch.get_num_threads())
network = FeedforwardAutoencoder([x.shape[1], 500, 500, 2000, 10])
loader = get_dataloader(x, 256, True)
module = _DEC_Module(np.random.default_rng(0).normal(size=(10, 10)).astype("float32"), 1.0, False)
optimizer = torch.optim.SGD([*network.parameters(), *module.parameters()], lr=0.01, momentum=0.9)
loss = torch.nn.MSELoss()

for _ in sys.stdin:
    start = perf_counter()
    network.fit(1, {"lr": 1e-3}, 256, data=x)
    middle = perf_counter()
    module.fit(network, loader, 1, torch.device("cpu"), optimizer, loss, 1.0, 0.0)
    print(middle - start, perf_counter() - middle, flush=True)
