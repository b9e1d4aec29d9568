"""Networks as users name them: an architecture file, or a published name."""

from dataclasses import dataclass, replace
from pathlib import Path

from search.architecture import Architecture, read_architecture
from search.errors import UsageError
from search.zoo import Network, network_names, published_network, zoo_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedNetwork:
    """A network and, if it is a published one, what its authors printed."""

    name: str
    architecture: Architecture
    published: Network | None = None

    def with_dtype(self, dtype: str) -> "NamedNetwork":
        """The same network in another number format."""
        return replace(self, architecture=self.architecture.with_dtype(dtype))

    def with_batch(self, batch: int) -> "NamedNetwork":
        """The same network on so many images a call.

        Raises:
            UsageError: A number that means nothing.
        """
        return replace(self, architecture=self.architecture.with_batch(batch))

    def other_convention(self) -> "NamedNetwork | None":
        """A published network with its first 1x1s at expansion 1 dropped, not kept, or reverse.

        None for a network that is not published, or has no such block.
        """
        if self.published is None:
            return None
        other = zoo_architecture(
            self.published.name,
            always_pointwise=not self.published.always_pointwise,
            dtype=self.architecture.dtype,
        ).with_batch(self.architecture.batch)
        return None if other == self.architecture else replace(self, architecture=other)


def find_network(text: str) -> NamedNetwork:
    """The network of an architecture file, or of a published name in any case.

    Raises:
        UsageError: Neither; names the known networks.
    """
    path = Path(text)
    if path.suffix == ".json" or path.is_file():
        architecture = read_architecture(path)
        return NamedNetwork(name=architecture.name, architecture=architecture)
    try:
        published = published_network(text)
    except UsageError as error:
        raise UsageError(
            error.message,
            f"Known: {', '.join(network_names())}; or name an architecture file (.json).",
        ) from error
    return NamedNetwork(
        name=published.name, architecture=zoo_architecture(published.name), published=published
    )
