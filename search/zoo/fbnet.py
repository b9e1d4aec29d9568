"""FBNet's published networks.

FBNet-A, -B, -C and FBNet-96-0.35-1 follow the authors' release (facts
restated from facebookresearch/mobile-vision), which drops the first 1x1 of a
block whose expansion is 1. FBNet-S8 and FBNet-iPhoneX exist only as a drawing
(FBNet, arXiv 1812.03443, Figure 4); they are a reading of it, with the head of
1504 channels and every first 1x1 kept, which is what fits the printed FLOPs.
"""

from search.zoo.definition import Network, Published

_S8 = "Samsung Galaxy S8, Caffe2 int8"
_IPHONE = "iPhone X, Caffe2 int8"
_TABLE3 = "FBNet (arXiv 1812.03443), Table 3"
_TABLE4 = "FBNet (arXiv 1812.03443), Table 4"
_TABLE5 = "FBNet (arXiv 1812.03443), Table 5"

NETWORKS = (
    Network(
        name="FBNet-A",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: -",
            "24 2: k3_e3 k3_e1 - -",
            "32 2: k5_e6 k3_e3 k5_e1 k3_e3",
            "64 2: k5_e6 k5_e3 k5_e1_g2 k5_e6",
            "112 1: k3_e6 k5_e1_g2 k5_e3 k3_e1_g2",
            "184 2: k5_e6 k5_e6 k5_e3 k5_e6",
            "352 1: k5_e6",
        ),
        head_channels=1504,
        always_pointwise=False,
        published=Published(249, 4.3, 73.0, ((_S8, 19.8),), _TABLE3),
    ),
    Network(
        name="FBNet-B",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e6 k5_e1 k3_e1 k3_e1",
            "32 2: k5_e6 k5_e3 k3_e6 k5_e6",
            "64 2: k5_e6 k5_e6 - k5_e3",
            "112 1: k5_e6 k3_e1 k5_e1 k5_e3",
            "184 2: k5_e6 k5_e1 k5_e6 k5_e6",
            "352 1: k3_e6",
        ),
        head_channels=1984,
        always_pointwise=False,
        published=Published(295, 4.5, 74.1, ((_S8, 23.1),), _TABLE3),
        remark="the paper prints 4.5M parameters, its authors' release 4.77M",
    ),
    Network(
        name="FBNet-C",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e6 - k3_e1 k3_e1",
            "32 2: k5_e6 k5_e3 k5_e6 k3_e6",
            "64 2: k5_e6 k5_e3 k5_e6 k5_e6",
            "112 1: k5_e6 k5_e6 k5_e6 k5_e3",
            "184 2: k5_e6 k5_e6 k5_e6 k5_e6",
            "352 1: k3_e6",
        ),
        head_channels=1984,
        always_pointwise=False,
        published=Published(375, 5.5, 74.9, ((_S8, 28.1),), _TABLE3),
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
