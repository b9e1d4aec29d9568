"""Training one fixed network: a method with one phase and nothing to choose."""

from collections.abc import Mapping

import torch
from torch import nn

from search.data.base import ImageSet
from search.training.evaluate import evaluate
from search.training.ingredients.average import AveragedNetwork
from search.training.ingredients.lessons import Lessons, lesson_loss, omissions
from search.training.ingredients.optimizers import decay_groups, make_optimizer
from search.training.ingredients.teacher import Teacher
from search.training.protocol import Batch, Phase, StepReport
from search.training.recipe import TRAIN, TrainingRecipe


class SingleNetworkTraining:
    """Trains the network that it is given, in place; a `TrainingMethod`.

    Args:
        network: Ends in a linear classifier where the recipe has dropout. Its
            state dict stays that of the network alone.
        recipe: Hyperparameters.
        watch: Images on which accuracy is reported after every `watch_every`
            epochs; they decide nothing.
        teacher: The network to learn from as well, where the recipe names one.

    Attributes:
        result: What is judged and written: the network, or the average of its weights.

    Raises:
        UsageError: Dropout for a network without a linear layer, or drop-path for
            one without a block that adds its input.
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
        teacher: Teacher | None = None,
    ) -> None:
        self._lessons = Lessons(recipe=recipe, teacher=teacher)
        self.recipe, self.epochs = recipe, recipe.epochs
        self._watch, self._watch_every = watch, watch_every
        self._epoch = 0
        self._optimizer = make_optimizer(
            recipe.optimizer,
            decay_groups(network, recipe.weight_decay, decay_all=recipe.decay_all),
            rate=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            rho=recipe.rho,
            epsilon=recipe.epsilon,
        )
        self.module = self.result = network
        if recipe.ema:
            self._average(network)
        self._drawing = omissions(network, recipe, TRAIN)

    def _average(self, network: nn.Module) -> None:
        averaged = AveragedNetwork(network, self.recipe.ema)
        self._optimizer.register_step_post_hook(averaged.update)
        self.module, self.result = averaged, averaged.average

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        """All training images, once."""
        del epoch
        return (Phase(name="weights", split=0),)

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        """The recipe's."""
        del phase
        return self._optimizer

    def start_epoch(self, epoch: int) -> None:
        """Training mode; the rate is set by every step."""
        self._epoch = epoch
        self.module.train()
        if self.result is not self.module:
            self.result.eval()

    def backward(self, phase: str, batch: Batch) -> StepReport:
        """The recipe's loss; the report's cross entropy is the plain one."""
        del phase
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate(self._epoch + batch.fraction)
        lesson = self._lessons.lesson(batch)
        with self._drawing.drawing_from(batch.generator), batch.autocast():
            logits = self.module(lesson.images)
        logits = logits.float()
        loss = lesson_loss(lesson, logits, self.recipe.label_smoothing)
        batch.backward(loss)
        with torch.no_grad():
            plain = nn.functional.cross_entropy(logits, batch.labels)
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
            accuracy = evaluate(self.result, self._watch)
            numbers |= {"test_accuracy": accuracy.top1, "test_loss": accuracy.loss}
        return numbers
