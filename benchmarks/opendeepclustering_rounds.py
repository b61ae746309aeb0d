"""As clustpy_rounds.py, with the modules of OpenDeepClustering; training.py runs this with a Python that has PyTorch.

    python benchmarks/opendeepclustering_rounds.py x.npy FOLDER     (FOLDER: a clone of its repository)

Its scripts do all their work when they are imported, so this file repeats their loops over the batches. It leaves out
their line of a log for each batch, and their reading of images one by one with torchvision.
"""

import sys

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, f"{sys.argv[2]}/models/Simultaneous/DEC")
from clustering import Clustering, Loss
from representation import StackedAutoEncoder

x = torch.from_numpy(np.load(sys.argv[1]))
network = StackedAutoEncoder(x.shape[1])
model = torch.nn.Sequential(network.encoder, Clustering(10, 10, 1.0, np.random.default_rng(0).normal(size=(10, 10))))
loader = DataLoader(TensorDataset(x, x), batch_size=256, shuffle=True)
losses = {"pretraining": torch.nn.MSELoss(), "clustering": Loss()}
networks = {"pretraining": network.autoencoder, "clustering": model}
optimizers = {name: torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9) for name, net in networks.items()}

for line in sys.stdin:
    phase = line.strip()
    for batch, _ in loader:
        outputs = networks[phase](batch)
        if phase == "pretraining":
            loss = losses[phase](outputs, batch)
        else:
            with torch.no_grad():
                p = torch.square(outputs) / outputs.sum(0)
                p /= p.sum(1, keepdim=True)
            loss = losses[phase](outputs.log(), p)
        optimizers[phase].zero_grad()
        loss.backward()
        optimizers[phase].step()
    print("done", flush=True)
