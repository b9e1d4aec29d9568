"""Networks of other people's design in plain torch, with random weights, as `module.py:factory`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Inverted(nn.Module):
    """MobileNetV2's block (arXiv 1801.04381, Table 1)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        first = [*conv(inputs, middle, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*conv(middle, middle, 3, stride, middle), nn.ReLU6()]
        self.body = nn.Sequential(*first, *depthwise, *conv(middle, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class MobileNetV2(nn.Module):
    """Table 2 of the same paper; `taps` are blocks whose outputs are returned too."""

    STAGES = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv(3, 32, 3, 2), nn.ReLU6())
        blocks, width = [], 32
        for expansion, outputs, number, stride in self.STAGES:
            for n in range(number):
                blocks.append(Inverted(width, outputs, stride if n == 0 else 1, expansion))
                width = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Sequential(*conv(320, 1280, 1), nn.ReLU6())
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.head(x).mean((2, 3)))


class Basic(nn.Module):
    """ResNet's basic block (arXiv 1512.03385, Figure 5)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv(inputs, outputs, 3, stride), nn.ReLU(), *conv(outputs, outputs, 3)
        )
        same = stride == 1 and inputs == outputs
        self.short = nn.Identity() if same else nn.Sequential(*conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.short(x))


class ResNet18(nn.Module):
    """Table 1 of the same paper."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        widths = (64, 64, 128, 256, 512)
        self.blocks = nn.Sequential(
            *(
                Basic(widths[stage] if n == 0 else widths[stage + 1], widths[stage + 1], stride)
                for stage in range(4)
                for n, stride in enumerate((1 if stage == 0 else 2, 1))
            )
        )
        self.classifier = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))


class Attention(nn.Module):
    """A transformer's block with layer norm before (arXiv 2010.11929, equations 2 and 3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        shape = (batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(self.norm(x)).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.after(x))


class SmallViT(nn.Module):
    """A vision transformer of 192 x 6 with patches of 16 (arXiv 2010.11929)."""

    def __init__(self, width: int = 192, depth: int = 6, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 14 * 14 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(Attention(width, heads) for _ in range(depth)))
        self.norm, self.classifier = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.classifier(self.norm(self.blocks(x))[:, 0])


class DetectionBackbone(nn.Module):
    """MobileNetV2 to strides 8, 16, 32 with a feature pyramid (arXiv 1612.03144) over them."""

    TAPS = (5, 12, 16)

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        trunk = MobileNetV2()
        self.stem, self.blocks = trunk.stem, trunk.blocks
        self.sides = nn.ModuleList(nn.Conv2d(c, width, 1) for c in (32, 96, 320))
        self.smooth = nn.ModuleList(
            nn.Sequential(*conv(width, width, 3, groups=width), nn.Conv2d(width, width, 1))
            for _ in range(3)
        )

    def forward(self, x: Tensor) -> Sequence[Tensor]:
        x, kept = self.stem(x), []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.TAPS:
                kept.append(x)
        maps = [side(one) for side, one in zip(self.sides, kept, strict=True)]
        for n in (1, 0):
            maps[n] = maps[n] + nn.functional.interpolate(maps[n + 1], scale_factor=2.0)
        return [smooth(one) for smooth, one in zip(self.smooth, maps, strict=True)]


def _made(kind: type[nn.Module], side: int = 224) -> tuple[nn.Module, tuple[Tensor]]:
    """Random weights, and statistics of batch norm that keep activations near 1."""
    torch.manual_seed(0)
    model, image = kind(), torch.rand(1, 3, side, side) * 2 - 1
    with torch.no_grad():
        model.train()(torch.rand(2, 3, side, side) * 2 - 1)
    return model.eval(), (image,)


def mobilenet_v2() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(MobileNetV2)


def resnet18() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(ResNet18)


def small_vit() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(SmallViT)


def detection_backbone() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(DetectionBackbone, 320)


def fbnet_c() -> tuple[nn.Module, tuple[Tensor]]:
    from deploy.network import seeded_network
    from search.operators.modules import example_input
    from search.zoo.resolve import find_network

    operators = find_network("FBNet-C").architecture.operators
    return seeded_network(operators), (example_input(operators),)
