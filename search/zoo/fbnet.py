"""FBNet's published networks.

FBNet-A, -B, -B1, -C and -C1 are those that the authors released with the
paper in 2019 (facts restated from facebookresearch/mobile-vision at 4826a08,
`FBNet/models`): their counts are the paper's, and every first 1x1 is kept, as
Figure 3 of the paper draws it. B1 and C1 are B and C with a head of 1504
channels. `k3sep`, which Table 2 of the paper does not list, is a block with two
depthwise convolutions, each with its ReLU. FBNet-96-0.35-1 follows the later
release (`search.zoo.fbnet_mobile_cv`). FBNet-S8 and FBNet-iPhoneX exist only as
a drawing (FBNet, arXiv 1812.03443, Figure 4); they are a reading of it, with
the head of 1504 channels and every first 1x1 kept, which is what fits the
printed FLOPs.
"""

from search.zoo.definition import Network, Published

_S8 = "Samsung Galaxy S8, Caffe2 int8"
_IPHONE = "iPhone X, Caffe2 int8"
_RELEASED_S8 = "Samsung Galaxy S8, Caffe2 int8, by the release"
_TABLE3 = "FBNet (arXiv 1812.03443), Table 3"
_TABLE4 = "FBNet (arXiv 1812.03443), Table 4"
_TABLE5 = "FBNet (arXiv 1812.03443), Table 5"
_RELEASE = "facebookresearch/mobile-vision at 4826a08, FBNet; not in the paper"

_A = (
    "16 1: -",
    "24 2: k3_e3 k3_e1 - -",
    "32 2: k5_e6 k3_e3 k5_e1 k3_e3",
    "64 2: k5_e6 k5_e3 k3_e1_g2 k5_e6",
    "112 1: k3_e6 k3_e1_g2 k5_e3 k3_e1_g2",
    "184 2: k5_e6 k5_e6 k5_e3 k5_e6",
    "352 1: k5_e6",
)
_B = (
    "16 1: k3_e1",
    "24 2: k3_e6 k5_e1 k3_e1 k3_e1",
    "32 2: k5_e6 k5_e3 k3_e6 k3sep_e6",
    "64 2: k5_e6 k5_e1 - k5_e3",
    "112 1: k5_e6 k3_e1 k5_e1 k5_e3",
    "184 2: k5_e6 k5_e1 k5_e6 k5_e6",
    "352 1: k3_e6",
)
_C = (
    "16 1: k3_e1",
    "24 2: k3_e6 - k3_e1 k3_e1",
    "32 2: k5_e6 k5_e3 k3sep_e6 k3_e6",
    "64 2: k5_e6 k5_e3 k5_e6 k5_e6",
    "112 1: k5_e6 k3sep_e6 k5_e6 k5_e3",
    "184 2: k5_e6 k5_e6 k5_e6 k5_e6",
    "352 1: k3_e6",
)


def _released(
    name: str, stages: tuple[str, ...], head: int, published: Published, remark: str
) -> Network:
    return Network(
        name=name,
        resolution=224,
        stem_channels=16,
        stages=stages,
        head_channels=head,
        always_pointwise=True,
        published=published,
        remark=remark,
    )


NETWORKS = (
    _released(
        "FBNet-A",
        _A,
        1504,
        Published(249, 4.3, 73.0, ((_S8, 19.8), (_RELEASED_S8, 14.1)), _TABLE3),
        "as released in 2019, 249.4M there; the later release is FBNet-A-mobile-cv",
    ),
    _released(
        "FBNet-B",
        _B,
        1984,
        Published(295, 4.5, 74.1, ((_S8, 23.1), (_RELEASED_S8, 17.3)), _TABLE3),
        "as released in 2019, 295.6M there; the paper prints 4.5M parameters, the release has "
        "4.81M; the later release is FBNet-B-mobile-cv",
    ),
    _released(
        "FBNet-B1",
        _B,
        1504,
        Published(286.8, None, None, ((_RELEASED_S8, 17.0),), _RELEASE),
        "FBNet-B with a head of 1504 channels",
    ),
    _released(
        "FBNet-C",
        _C,
        1984,
        Published(375, 5.5, 74.9, ((_S8, 28.1), (_RELEASED_S8, 21.0)), _TABLE3),
        "as released in 2019, 383.0M there, where the paper prints 375M; the later release is "
        "FBNet-C-mobile-cv",
    ),
    _released(
        "FBNet-C1",
        _C,
        1504,
        Published(374.2, None, None, ((_RELEASED_S8, 20.0),), _RELEASE),
        "FBNet-C with a head of 1504 channels",
    ),
    Network(
        name="FBNet-96-0.35-1",
        resolution=96,
        stem_channels=8,
        stages=(
            "8 1: k3_e1",
            "16 2: k3_e6 k3_e6",
            "16 2: k5_e6 k5_e6",
            "24 2: k5_e6",
            "40 1: k3_e6",
            "72 2: k5_e6 k5_e6",
            "128 1: k5_e6",
        ),
        head_channels=1416,
        always_pointwise=False,
        published=Published(12.9, 1.8, 50.2, ((_S8, 2.9),), _TABLE4),
    ),
    Network(
        name="FBNet-S8",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e3 k3_e1 - -",
            "32 2: k5_e6 k3_e3 k3_e3 k3_e6",
            "64 2: k5_e6 k5_e3 k5_e3 k5_e3",
            "112 1: k3_e6 k5_e3 k5_e3 k5_e3",
            "184 2: k5_e6 k5_e6 k5_e3 k5_e6",
            "352 1: k5_e6",
        ),
        head_channels=1504,
        always_pointwise=True,
        published=Published(293, 4.43, 73.27, ((_S8, 22.12), (_IPHONE, 27.53)), _TABLE5),
        remark="read from Figure 4; not released",
    ),
    Network(
        name="FBNet-iPhoneX",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: -",
            "24 2: k3_e6 k3_e1 k3_e1 k3_e1",
            "32 2: k3_e6 k3_e6 k3_e6 k3_e6",
            "64 2: k3_e6 k3_e6 k3_e3 k3_e6",
            "112 1: k3_e6 k3_e3 k3_e3 k3_e3",
            "184 2: k5_e6 k5_e6 k5_e6 k5_e3",
            "352 1: k5_e6",
        ),
        head_channels=1504,
        always_pointwise=True,
        published=Published(322, 4.47, 73.2, ((_S8, 23.33), (_IPHONE, 19.84)), _TABLE5),
        remark="read from Figure 4; not released",
    ),
)
