"""Training images that pass through a policy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from search.data.base import ImageSet, PixelScaling
from search.data.decode import workers
from search.data.policies.operations import apply
from search.data.policies.policy import Policy


class PolicyImages:
    """An `ImageSet` whose augmented batches are changed by a policy as well.

    Its numbers come after those of crops and flips, from the same generator; without
    one, images are those of the set.

    Args:
        images: Cropped and flipped.
        scaling: How their pixels were normalised, to have them as bytes again.
        policy: Of each image.
    """

    def __init__(self, images: ImageSet, scaling: PixelScaling, policy: Policy) -> None:
        self.labels = images.labels
        self._images, self._scaling, self._policy = images, scaling, policy
        red, green, blue = (round(255 * mean) for mean in scaling.mean)
        self._fill = red, green, blue
        self._pool = ThreadPoolExecutor(workers(), thread_name_prefix="policy")

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Images changed by the policy too where a generator is given."""
        pixels, labels = self._images.batch(indices, generator)
        if generator is None:
            return pixels, labels
        shape = (len(indices), self._policy.numbers)
        rows = torch.rand(shape, generator=generator, dtype=torch.float64).tolist()
        pictures = self._bytes(pixels).permute(0, 2, 3, 1).contiguous().numpy()
        changed = np.stack(list(self._pool.map(self._changed, pictures, rows)))
        planes = torch.from_numpy(changed).permute(0, 3, 1, 2).contiguous()
        return self._scaling.apply(planes), labels

    def _bytes(self, pixels: Tensor) -> Tensor:
        """Normalised pixels as the bytes that they were."""
        mean = torch.tensor(self._scaling.mean).view(3, 1, 1)
        std = torch.tensor(self._scaling.std).view(3, 1, 1)
        return ((pixels * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def _changed(
        self, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", row: list[float]
    ) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
        picture = Image.fromarray(pixels)
        for change in self._policy.changes(row):
            picture = apply(change.operation, picture, change.amount, self._fill)
        return np.asarray(picture, dtype=np.uint8)
