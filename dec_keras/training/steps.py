"""Compiled training steps: many batches per call, and each step compiled by XLA if this saves time."""

from typing import Any, TypeAlias

import keras
import tensorflow as tf

XLA_BATCHES = 1000  # with fewer, XLA takes longer to compile than it saves
BATCHES_A_CALL = 32  # Python sees signals only between two calls

OptimizerLike: TypeAlias = keras.optimizers.Optimizer | str | dict[str, Any]


def get_optimizer(optimizer: OptimizerLike) -> keras.optimizers.Optimizer:
    """`keras.optimizers.get` for a name, an optimizer, or its serialised form, a dict, of which Keras gets a copy.

    An optimizer that has already trained is copied without its state, since Keras 3 lets it train only one model.
    """
    found = keras.optimizers.get(dict(optimizer) if isinstance(optimizer, dict) else optimizer)
    return type(found).from_config(found.get_config()) if found.built else found


def configuration(optimizer):
    """Class and configuration of an optimizer as a dict, without its name, since Keras numbers the names."""
    config = {name: value for name, value in optimizer.get_config().items() if name != "name"}
    return {"class": type(optimizer).__name__} | config


class Trainer:
    """Trains a compiled Keras model, some batches at a time.

    XLA fuses the operations between the matrix products (activations, losses, the optimizer). A step of the paper's
    network then takes about 0.75 of the time. Keras' own choice ("auto") leaves XLA off on a CPU, so we turn it on
    there. Keras' choice stands on a GPU (no XLA with deterministic kernels, which are faster without it, see
    benchmarks/README.md), under a tf.distribute strategy of several replicas, and below `XLA_BATCHES` batches.

    Args:
        model: a compiled Keras model.
        batches: tf.data.Dataset of (indices, rows), as `endless_batches` makes it.
        prepare: takes a batch's (indices, rows), returns its (inputs, targets).
        n_batches: maximum number of batches of the training.
    """

    def __init__(self, model, batches, prepare, n_batches):
        self.model = model
        model.optimizer.build(model.trainable_variables)  # building it while a step is traced takes longer
        strategy = tf.distribute.get_strategy()
        gpus = tf.config.list_physical_devices("GPU")
        worth_it = n_batches >= XLA_BATCHES and strategy.num_replicas_in_sync == 1 and not gpus
        self.jit_compile = worth_it or model.jit_compile
        self.batches = iter(strategy.experimental_distribute_dataset(batches))

        def step(batch):
            model.train_step(prepare(*batch))

        compiled = tf.function(step, reduce_retracing=True, jit_compile=self.jit_compile, autograph=False)

        @tf.function
        def steps(batches, n):
            for _ in tf.range(n):
                strategy.run(compiled, args=(next(batches),))

        # Traced here: TensorFlow would warn of retracing in a process that trains several models.
        self._steps = steps.get_concrete_function(self.batches, tf.TensorSpec((), tf.int32))

    def reset(self):
        """Forgets the losses so far."""
        self.model.reset_metrics()

    def train(self, n, on_progress=None):
        """Trains on the next n batches; `on_progress` is called with the number of batches done."""
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
