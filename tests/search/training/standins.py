"""Small images and methods that keep the real protocols."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import FBNetSearch
from search.costs.matrix import CostMatrix
from search.spaces.fbnet import FBNetSpace
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute
from search.training.engine import train
from search.training.progress import TrainingProgress
from search.training.protocol import Batch, Phase, StepReport, TrainingMethod
from search.training.recipe import TrainingRecipe
from search.training.run.trace import TraceLine
from search.training.settings import TrainingSettings
from search.training.single_network import SingleNetworkTraining
from tests.search.targets import latency_target

CPU = Compute(device="cpu", threads=1)
SPACE, RECIPE = "tiny", '{"rate": 0.1}'


class Pictures:
    """Seeded images whose class is visible; augmentation flips and adds noise."""

    def __init__(
        self,
        number: int = 50,
        classes: int = 4,
        *,
        seed: int = 0,
        plain: bool = False,
        side: int = 6,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(classes, (number,), generator=generator)
        pattern = torch.randn((classes, 3, side, side), generator=generator)
        noise = torch.randn((number, 3, side, side), generator=generator)
        self.pixels = pattern[self.labels] + 0.5 * noise
        self.plain = plain

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        images = self.pixels[indices]
        if generator is not None and not self.plain:
            flipped = torch.rand(len(indices), generator=generator) < 0.5
            images = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
            images = images + 0.1 * torch.randn(images.shape, generator=generator)
        return images, self.labels[indices]


def small_network(seed: int = 0, *, dropout: float = 0.0, norm: bool = True) -> nn.Sequential:
    """Convolution, batch norm, classifier; `dropout` draws from torch's own generator."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(3, 6, 3, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(6)] if norm else []
    layers += [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(24, 4))


class _Mixture(nn.Module):
    """Two branches with batch norm, mixed by a sample of a Gumbel softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 6, size, padding=size // 2), nn.BatchNorm2d(6), nn.ReLU())
            for size in (1, 3)
        )
        self.unused = nn.Parameter(torch.ones(2))
        self.head = nn.Linear(24, 4)
        self.theta = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        mixed = sum(
            weight * branch(x) for weight, branch in zip(weights, self.branches, strict=True)
        )
        return self.head(nn.functional.adaptive_avg_pool2d(mixed, 2).flatten(1))


class TinySearch:
    """Gumbel noise, two phases with two optimisers, theta frozen in the first epoch."""

    name = "tiny-search"
    splits = (0.8, 0.2)

    def __init__(self, epochs: int = 4, *, seed: int = 0, rate: float = 0.1) -> None:
        torch.manual_seed(seed)
        self.epochs, self.rate, self.temperature = epochs, rate, 5.0
        self.module = _Mixture()
        weights = [p for name, p in self.module.named_parameters() if name != "theta"]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "weights": torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=1e-4),
            "theta": torch.optim.Adam([self.module.theta], lr=0.05, weight_decay=5e-4),
        }

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        both = (Phase(name="weights", split=0), Phase(name="theta", split=1))
        return both if epoch else both[:1]

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        return self.optimizers[phase]

    def start_epoch(self, epoch: int) -> None:
        self.temperature = 5.0 * 0.8**epoch
        self.optimizers["weights"].param_groups[0]["lr"] = self.rate * 0.9**epoch
        self.module.train()

    def backward(self, phase: str, batch: Batch) -> StepReport:
        uniform = torch.rand(2, generator=batch.generator).clamp_min(1e-9)
        noise = -(-uniform.log()).log()
        mix = ((self.module.theta + noise) / self.temperature).softmax(0)
        with batch.autocast():
            logits = self.module(batch.images, mix)
        loss = nn.functional.cross_entropy(logits.float(), batch.labels)
        latency = 1000 * mix[0] + 3000 * mix[1]
        (loss * latency.log() ** 0.6).backward()
        return StepReport(
            loss=loss.item(),
            cross_entropy=loss.item(),
            correct=int((logits.argmax(1) == batch.labels).sum()),
            images=len(batch.labels),
            latency_us=latency.item(),
        )

    def progress(self) -> Mapping[str, float]:
        chances = self.module.theta.detach().softmax(0)
        return {
            "entropy": float(-(chances * chances.log()).sum()),
            "temperature": self.temperature,
            "expected_latency_us": float(1000 * chances[0] + 3000 * chances[1]),
        }


def small_fbnet(seed: int = 0) -> FBNetSearch:
    """FBNet's own search: six narrow layers on 8x8 images, with a target."""
    space = FBNetSpace(preset="fbnet-mini", resolution=8, width=0.35, classes=4)
    prices = np.random.default_rng(0).uniform(300, 900, (6, 9))
    for row, layer in zip(prices, space.layers, strict=True):
        row[len(layer.choices) :] = np.inf
    torch.manual_seed(seed)
    return FBNetSearch(
        space,
        CostMatrix(costs=prices, fixed=500.0),
        recipe=FBNetRecipe(epochs=2, batch=8, classes=None, freeze_epochs=1),
        target=latency_target(3000.0),
    )


def recipe(**changes: object) -> TrainingRecipe:
    values: dict[str, object] = {
        "batch": 8,
        "epochs": 4,
        "learning_rate": 0.1,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "nesterov": True,
        "weight_decay": 1e-3,
        "decay_all": False,
        "dropout": 0.2,
        "label_smoothing": 0.1,
    }
    return TrainingRecipe(**{**values, **changes})  # type: ignore[arg-type]


METHODS: dict[str, Callable[[], TrainingMethod]] = {
    "search": TinySearch,
    "fixed": lambda: SingleNetworkTraining(small_network(), recipe()),
    "everything": lambda: SingleNetworkTraining(
        small_network(),
        recipe(optimizer="rmsprop", nesterov=False, ema=0.9, mixup=0.4, erasing=0.5),
    ),
    "torch-dropout": lambda: SingleNetworkTraining(small_network(dropout=0.5), recipe(dropout=0.0)),
}


class Killed(BaseException):
    """The process is gone: nothing may catch this."""


class KillAfter(TrainingProgress):
    """Dies after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def stepped(self, report: StepReport) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


def run(
    algorithm: TrainingMethod,
    folder: Path | None = None,
    *,
    images: Pictures | None = None,
    progress: TrainingProgress | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    space: str = SPACE,
    recipe: str = RECIPE,
    processes: ProcessGroup | None = None,
    **settings: object,
) -> tuple[TraceLine, ...]:
    values: dict[str, object] = {"batch": 8, "seed": 3, "compute": CPU, **settings}
    return train(
        algorithm,
        images if images is not None else Pictures(),
        TrainingSettings(**values),  # type: ignore[arg-type]
        space=space,
        recipe=recipe,
        folder=folder,
        resume=resume,
        accept_changes=accept_changes,
        progress=progress,
        processes=processes or ProcessGroup(),
    )


def whole_state(algorithm: TrainingMethod) -> dict[str, Tensor]:
    """Every tensor of the module and of the optimisers, by a name of its own."""
    found = {f"module {name}": tensor for name, tensor in algorithm.module.state_dict().items()}
    phases = {p.name for epoch in range(algorithm.epochs) for p in algorithm.phases(epoch)}
    for phase in sorted(phases):
        state = algorithm.optimizer(phase).state_dict()["state"]
        for number, values in state.items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    found[f"{phase} {number} {name}"] = value
    return found


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def untimed(lines: tuple[TraceLine, ...]) -> list[tuple[object, ...]]:
    """What of a trace does not depend on the clock."""
    return [
        (x.epoch, x.phase, x.loss, x.cross_entropy, x.accuracy, x.images, x.latency_us, x.progress)
        for x in lines
    ]
