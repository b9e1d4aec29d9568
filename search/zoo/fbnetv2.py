"""FBNetV2's published networks, as their authors released them.

Facts restated from facebookresearch/mobile-vision (`fbnet_v2`, the search's
resulting networks; its code is not used). Middle channels are absolute; a
skip between different widths is a 1x1 convolution; behind the average pool
lies a hidden layer without batch norm. The release leaves out batch norm and
the biases of squeeze-excite where it counts parameters; ours are counted.
Inside squeeze-excite the release takes the block's activation, we take ReLU,
which changes neither count.
"""

from search.zoo.definition import Network, Published

_TABLE4 = "FBNetV2 (arXiv 2004.05565), Table 4; parameters by its authors' release"
_RELEASE = "facebookresearch/mobile-vision, model_info_fbnet_v2.json; not in the paper"

_F1_TO_F3 = (
    "8 1: k5_m8_relu",
    "24 2: k5_m40_relu k5_m112_relu",
    "32 2: k5_m128_relu_se",
    "24 1: k5_m144_relu_se",
    "56 2: k5_m136_hswish k3_m232_hswish k3_m288_hswish_se",
    "80 1: - k5_m360_hswish_se k5_m144_hswish_se",
    "144 2: k3_m368_hswish_se k5_m840_hswish_se k5_m992_hswish_se",
    "224 1: -",
)
_F4 = (
    "16 1: k3_m16_hswish",
    "24 2: k5_m88_hswish k5_m40_hswish k5_m40_hswish",
    "32 2: k5_m128_relu_se k5_m112_relu_se k5_m144_relu_se k5_m144_relu_se",
    "64 2: k5_m184_hswish k3_m136_hswish -",
    "104 1: k3_m320_hswish k5_m264_hswish_se k5_m184_hswish_se",
    "112 1: k5_m392_hswish_se",
    "184 2: k3_m624_hswish_se k5_m520_hswish_se k5_m896_hswish_se",
    "224 1: -",
)
_L1_L2 = (
    "16 1: k3_m16_hswish",
    "24 2: k5_m88_hswish k5_m40_hswish k3_m40_hswish k5_m40_hswish",
    "40 2: k5_m128_hswish_se",
    "32 1: k5_m144_hswish_se k5_m144_hswish_se k5_m144_hswish_se",
    "64 2: k5_m184_hswish k3_m136_hswish - k3_m200_hswish",
    "112 1: k3_m320_hswish k5_m280_hswish_se k5_m200_hswish_se "
    "k5_m312_hswish_se k5_m424_hswish_se k5_m424_hswish_se",
    "184 2: k3_m624_hswish_se k5_m520_hswish_se k5_m520_hswish_se "
    "k5_m896_hswish_se k5_m896_hswish_se",
    "224 1: -",
)
_L3 = (
    "24 1: k3_m24_relu",
    "32 2: k5_m128_relu k5_m56_relu k3_m56_relu k5_m56_relu",
    "48 2: k5_m168_relu_se",
    "40 1: k5_m168_relu_se k5_m184_relu_se k5_m184_relu_se",
    "72 2: k5_m232_hswish k3_m152_hswish - k3_m224_hswish",
    "120 1: k3_m360_hswish k5_m304_hswish_se k5_m216_hswish_se k5_m336_hswish_se "
    "k5_m456_hswish_se k5_m456_hswish_se k5_m456_hswish_se",
    "192 2: k3_m672_hswish_se k5_m544_hswish_se k5_m544_hswish_se "
    "k5_m936_hswish_se k5_m936_hswish_se",
    "240 1: -",
)
_OLDER = "facebookresearch/mobile-vision at b95ef33, fbnet_v2; not in the paper"
NETWORKS = (
    Network(
        name="FBNetV2-F1",
        resolution=128,
        stem_channels=8,
        stages=_F1_TO_F3,
        head_channels=1344,
        hidden_channels=1600,
        activation="hswish",
        always_pointwise=False,
        published=Published(56, 6.0, 68.3, (), _TABLE4),
    ),
    Network(
        name="FBNetV2-F2",
        resolution=160,
        stem_channels=8,
        stages=_F1_TO_F3,
        head_channels=1344,
        hidden_channels=1600,
        activation="hswish",
        always_pointwise=False,
        published=Published(85.4, 6.0, 71.0, (), _RELEASE),
    ),
    Network(
        name="FBNetV2-F3",
        resolution=192,
        stem_channels=8,
        stages=_F1_TO_F3,
        head_channels=1344,
        hidden_channels=1984,
        activation="hswish",
        always_pointwise=False,
        published=Published(126, 6.9, 73.2, (), _TABLE4),
        remark="its authors' release counts 121.8M and 73.0 %",
    ),
    Network(
        name="FBNetV2-F4",
        resolution=224,
        stem_channels=16,
        stages=_F4,
        head_channels=1344,
        hidden_channels=1984,
        activation="hswish",
        always_pointwise=False,
        published=Published(238, 7.0, 76.0, (), _TABLE4),
        remark="its authors' release reaches 75.8 %",
    ),
    Network(
        name="FBNetV2-L1",
        resolution=224,
        stem_channels=16,
        stages=_L1_L2,
        head_channels=1344,
        hidden_channels=1984,
        activation="hswish",
        always_pointwise=False,
        published=Published(325, 8.5, 77.2, (), _TABLE4),
        remark="its authors' release reaches 77.0 %",
    ),
    Network(
        name="FBNetV2-L2",
        resolution=256,
        stem_channels=16,
        stages=_L1_L2,
        head_channels=1344,
        hidden_channels=1984,
        activation="hswish",
        always_pointwise=False,
        published=Published(423.9, 8.5, 78.2, (), _RELEASE),
    ),
    Network(
        name="FBNetV2-L3",
        resolution=288,
        stem_channels=24,
        stages=_L3,
        head_channels=1440,
        hidden_channels=1984,
        activation="hswish",
        always_pointwise=False,
        published=Published(753.1, 9.4, 78.9, (), _OLDER),
        remark="of an older state of the release",
    ),
)
