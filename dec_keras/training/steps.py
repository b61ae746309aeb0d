"""Training steps, compiled: many batches in one call, each step by XLA where that pays."""

from typing import Any, TypeAlias

import keras
import tensorflow as tf

XLA_BATCHES = 1000  # a training of fewer is not worth XLA's compiling
BATCHES_A_CALL = 32  # Python sees signals only between two calls

OptimizerLike: TypeAlias = keras.optimizers.Optimizer | str | dict[str, Any]


def get_optimizer(optimizer: OptimizerLike) -> keras.optimizers.Optimizer:
    """`keras.optimizers.get` for a name, an optimizer or its serialised form, a dict that Keras would change.

    An optimizer that has trained something is copied, without its state: Keras 3 has it train nothing else.
    """
    found = keras.optimizers.get(dict(optimizer) if isinstance(optimizer, dict) else optimizer)
    return type(found).from_config(found.get_config()) if found.built else found


def configuration(optimizer):
    """What an optimizer is and does, as a dict; not its name, since Keras numbers them."""
    config = {name: value for name, value in optimizer.get_config().items() if name != "name"}
    return {"class": type(optimizer).__name__} | config


class Trainer:
    """Trains a compiled Keras model, some batches at a time.

    XLA fuses what lies between the matrix products (activations, losses, the optimizer): a step of the paper's network
    takes about 0.75 of the time. Keras' own choice ("auto") leaves it off on a CPU; it stands on a GPU, where it is off
    with deterministic kernels, which are faster without it (benchmarks/README.md), under a tf.distribute strategy of
    several replicas, and where compiling would take longer than it saves.

    Args:
        model: a compiled Keras model.
        batches: tf.data.Dataset of (indices, rows), as `endless_batches` makes it.
        prepare: takes a batch's (indices, rows), returns its (inputs, targets).
        n_batches: most batches of the training.
    """

    def __init__(self, model, batches, prepare, n_batches):
        self.model = model
        model.optimizer.build(model.trainable_variables)  # takes longer while a step is traced
        strategy = tf.distribute.get_strategy()
        gpus = tf.config.list_physical_devices("GPU")
        worth_it = n_batches >= XLA_BATCHES and strategy.num_replicas_in_sync == 1 and not gpus
        self.jit_compile = worth_it or model.jit_compile
        self.batches = iter(strategy.experimental_distribute_dataset(batches))

        def step(batch):
            model.train_step(prepare(*batch))

        compiled = tf.function(step, reduce_retracing=True, jit_compile=self.jit_compile, autograph=False)

        @tf.function(reduce_retracing=True)
        def steps(batches, n):
            for _ in tf.range(n):
                strategy.run(compiled, args=(next(batches),))

        self._steps = steps

    def reset(self):
        """Forgets the losses so far."""
        self.model.reset_metrics()

    def train(self, n, on_progress=None):
        """Trains on the next n batches; `on_progress` is called with the number of those done."""
        done = 0
        while done < n:
            batches = min(BATCHES_A_CALL, n - done)
            self._steps(self.batches, tf.constant(batches))
            done += batches
            if on_progress is not None:
                on_progress(done)

    def losses(self):
        """{name of a loss: its mean over the samples since `reset`, float}."""
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}
