"""Operations that augmentation policies choose from, on 8-bit RGB images.

Ranges are AutoAugment's (arXiv 1805.09501, table 6), as shares: 0 changes least, 1 most.
"""

from collections.abc import Callable, Mapping

from PIL import Image, ImageEnhance, ImageOps

Picture = Image.Image
Colour = tuple[int, int, int]
Operation = Callable[[Picture, float, Colour], Picture]

_SHEAR, _TRANSLATE, _ROTATE_DEGREES = 0.3, 150 / 331, 30.0
_BITS_LOST, _ENHANCED = 4, 0.9


def _affine(picture: Picture, numbers: tuple[float, ...], fill: Colour) -> Picture:
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        numbers,
        resample=Image.Resampling.BILINEAR,
        fillcolor=fill,
    )


def _shear_x(picture: Picture, amount: float, fill: Colour) -> Picture:
    middle = picture.height / 2
    return _affine(picture, (1, _SHEAR * amount, -_SHEAR * amount * middle, 0, 1, 0), fill)


def _shear_y(picture: Picture, amount: float, fill: Colour) -> Picture:
    middle = picture.width / 2
    return _affine(picture, (1, 0, 0, _SHEAR * amount, 1, -_SHEAR * amount * middle), fill)


def _translate_x(picture: Picture, amount: float, fill: Colour) -> Picture:
    return _affine(picture, (1, 0, _TRANSLATE * amount * picture.width, 0, 1, 0), fill)


def _translate_y(picture: Picture, amount: float, fill: Colour) -> Picture:
    return _affine(picture, (1, 0, 0, 0, 1, _TRANSLATE * amount * picture.height), fill)


def _rotate(picture: Picture, amount: float, fill: Colour) -> Picture:
    return picture.rotate(
        _ROTATE_DEGREES * amount, resample=Image.Resampling.BILINEAR, fillcolor=fill
    )


def _posterize(picture: Picture, amount: float, _: Colour) -> Picture:
    return ImageOps.posterize(picture, 8 - round(_BITS_LOST * amount))


def _solarize(picture: Picture, amount: float, _: Colour) -> Picture:
    return ImageOps.solarize(picture, round(256 * (1 - amount)))


def _enhanced(kind: Callable[[Picture], ImageEnhance._Enhance]) -> Operation:
    def enhance(picture: Picture, amount: float, _: Colour) -> Picture:
        return kind(picture).enhance(1 + _ENHANCED * amount)

    return enhance


# Those whose amount may be negative too: the other way round, or less instead of more.
SIGNED: Mapping[str, Operation] = {
    "shear-x": _shear_x,
    "shear-y": _shear_y,
    "translate-x": _translate_x,
    "translate-y": _translate_y,
    "rotate": _rotate,
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
}
OPERATIONS: Mapping[str, Operation] = {
    **SIGNED,
    "posterize": _posterize,
    "solarize": _solarize,
    "identity": lambda picture, _amount, _fill: picture,
    "autocontrast": lambda picture, _amount, _fill: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _amount, _fill: ImageOps.equalize(picture),
    "invert": lambda picture, _amount, _fill: ImageOps.invert(picture),
}


def apply(name: str, picture: Picture, amount: float, fill: Colour) -> Picture:
    """A changed picture of the same size.

    Args:
        name: Of an operation.
        picture: RGB.
        amount: 0 to 1, and -1 to 1 for those of `SIGNED`.
        fill: Colour of what comes in from outside.
    """
    return OPERATIONS[name](picture, amount, fill)
