"""Training one fixed network: a method with one phase and nothing to choose."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.data.base import ImageSet
from search.errors import UsageError
from search.training.evaluate import evaluate
from search.training.protocol import Batch, Phase, StepReport
from search.training.recipe import TrainingRecipe


class SingleNetworkTraining:
    """Trains the network that it is given, in place; a `TrainingMethod`.

    Args:
        network: Ends in a linear classifier where the recipe has dropout. Its
            state dict stays that of the network alone.
        recipe: Hyperparameters.
        watch: Images on which accuracy is reported after every `watch_every`
            epochs; they decide nothing.

    Raises:
        UsageError: Dropout for a network without a linear layer.
    """

    name = "retrain"
    splits: tuple[float, ...] = (1.0,)

    def __init__(
        self,
        network: nn.Module,
        recipe: TrainingRecipe,
        *,
        watch: ImageSet | None = None,
        watch_every: int = 1,
    ) -> None:
        self.module, self.recipe, self.epochs = network, recipe, recipe.epochs
        self._watch, self._watch_every = watch, watch_every
        self._epoch = 0
        self._optimizer = torch.optim.SGD(
            _groups(network, recipe),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
        )
        self._dropout = _Dropout(recipe.dropout)
        if recipe.dropout:
            _classifier(network).register_forward_pre_hook(self._dropout)

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        """All training images, once."""
        del epoch
        return (Phase(name="weights", split=0),)

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        """SGD."""
        del phase
        return self._optimizer

    def start_epoch(self, epoch: int) -> None:
        """Training mode; the rate is set by every step."""
        self._epoch = epoch
        self.module.train()

    def backward(self, phase: str, batch: Batch) -> StepReport:
        """Cross entropy, smoothed as in the recipe; the report's is not smoothed."""
        del phase
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate(self._epoch + batch.fraction)
        with self._dropout.drawing_from(batch.generator), batch.autocast():
            logits = self.module(batch.images)
        logits = logits.float()
        smoothing = self.recipe.label_smoothing
        loss = nn.functional.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            plain = nn.functional.cross_entropy(logits, batch.labels) if smoothing else loss
            correct = (logits.argmax(1) == batch.labels).sum()
        return StepReport(
            loss=loss.item(),
            cross_entropy=plain.item(),
            correct=int(correct.item()),
            images=len(batch.labels),
        )

    def progress(self) -> Mapping[str, float]:
        """The last rate, and accuracy on the watched images where there are any."""
        numbers = {"learning_rate": float(self._optimizer.param_groups[0]["lr"])}
        done = self._epoch + 1
        if self._watch is not None and (done % self._watch_every == 0 or done == self.epochs):
            accuracy = evaluate(self.module, self._watch)
            numbers |= {"test_accuracy": accuracy.top1, "test_loss": accuracy.loss}
        return numbers


class _Dropout:
    """A hook that drops inputs of a layer while it has a generator to draw from.

    `nn.Dropout` would draw from torch's global generator, and as a child of
    the network it would move the names in its state dict.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._generator: torch.Generator | None = None

    def drawing_from(self, generator: torch.Generator) -> "_Dropout":
        """For a `with` around the forward pass."""
        self._generator = generator
        return self

    def __enter__(self) -> None:
        """Dropout is on."""

    def __exit__(self, *_: object) -> None:
        self._generator = None

    def __call__(self, _: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        if self._generator is None:
            return None
        (x,) = inputs
        kept = torch.rand(x.shape, generator=self._generator) >= self._share
        return (x * kept.to(x.device, x.dtype) / (1 - self._share),)


def _classifier(network: nn.Module) -> nn.Linear:
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UsageError("The recipe has dropout before a linear classifier; there is none.")
    return linear[-1]


def _groups(network: nn.Module, recipe: TrainingRecipe) -> list[dict[str, object]]:
    """Parameters that are decayed, and those that are not."""
    spared: set[nn.Parameter] = set()
    if not recipe.decay_all:
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, _BatchNorm) or name == "bias":
                    spared.add(parameter)
    decayed = [parameter for parameter in network.parameters() if parameter not in spared]
    rest = [parameter for parameter in network.parameters() if parameter in spared]
    groups = [(decayed, recipe.weight_decay), (rest, 0.0)]
    return [{"params": group, "weight_decay": decay} for group, decay in groups if group]
