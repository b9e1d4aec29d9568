"""Spaces whose networks are laid out by a `Layout`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from search.spaces.frame import Frame
from search.spaces.layout.build import build_layout
from search.spaces.layout.model import Candidate, Layout, StageRow
from search.spaces.layout.words import parse_words
from search.spaces.preset import Macro, Parts, PresetSpace, Stage


@dataclass(frozen=True, kw_only=True)
class LayoutSpace(PresetSpace, ABC):
    """A family of spaces whose networks are laid out by a `Layout`."""

    layout: Layout = field(init=False, repr=False, compare=False)

    @abstractmethod
    def _layout(self) -> Layout:
        """The layout of this space."""

    def _build(self, macro: Macro) -> Parts:  # noqa: ARG002 (the layout says more)
        object.__setattr__(self, "layout", self._layout())
        return build_layout(
            self.layout,
            Frame(self.always_pointwise, self.batch, self.dtype),
            width=self.width,
            resolution=self.resolution,
            head_channels=self.head_channels,
            classes=self.classes,
        )


def named(*names: str) -> tuple[Candidate, ...]:
    """Candidates whose names are their words."""
    return tuple(Candidate(name, parse_words(name)) for name in names)


def searched_rows(
    stages: Sequence[Stage], candidates: tuple[Candidate, ...]
) -> tuple[StageRow, ...]:
    """Searched stages that all choose among the same candidates."""
    return tuple(
        StageRow(
            channels=stage.channels,
            repeats=stage.repeats,
            stride=stage.stride,
            candidates=candidates,
        )
        for stage in stages
    )


def fixed_rows(blocks: Sequence[tuple[str, int]]) -> tuple[StageRow, ...]:
    """Fixed blocks of stride 1: name and channels."""
    return tuple(
        StageRow(channels=channels, candidates=named(name), fixed=True) for name, channels in blocks
    )
