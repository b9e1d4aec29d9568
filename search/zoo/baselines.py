"""Networks that papers of hardware-aware search compare with, and users with theirs.

Built from the tables of the papers named. Where a published network has
squeeze-excite, ours takes ReLU between its two layers, as MobileNetV3 does;
EfficientNet takes swish there, which changes no count. A hidden layer behind
the pool has no bias here; MobileNetV3's has one (1,280 and 1,024 parameters).
"""

from search.zoo.definition import Network, Published

_PIXEL = "Pixel 1, TF-Lite"
_S8 = "Samsung Galaxy S8, Caffe2 int8, by FBNet (arXiv 1812.03443), Table 3"
_V2 = "MobileNetV2 (arXiv 1801.04381), Table 4"
_V3 = "MobileNetV3 (arXiv 1905.02244), Table 3"


def _mobilenet_v2(
    name: str, widths: tuple[int, ...], head: int, published: Published, remark: str
) -> Network:
    """MobileNetV2 (Table 2) with these channels of the stem and of the seven stages."""
    stem, *stages = widths
    rows = ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1))
    return Network(
        name=name,
        resolution=224,
        stem_channels=stem,
        stages=tuple(
            f"{channels} {stride}:" + f" k3_e{expansion}_relu6" * repeats
            for channels, (expansion, repeats, stride) in zip(stages, rows, strict=True)
        ),
        head_channels=head,
        activation="relu6",
        always_pointwise=False,
        published=published,
        remark=remark,
    )


_MORE = "the paper prints {} parameters; its table of layers gives {}, batch norm included"
NETWORKS = (
    _mobilenet_v2(
        "MobileNetV2-1.0",
        (32, 16, 24, 32, 64, 96, 160, 320),
        1280,
        Published(300, 3.4, 72.0, ((_PIXEL, 75), (_S8, 21.7)), _V2),
        _MORE.format("3.4M", "3.50M"),
    ),
    _mobilenet_v2(
        "MobileNetV2-1.3",
        (40, 24, 32, 40, 80, 128, 208, 416),
        1664,
        Published(509, 5.3, 74.4, ((_S8, 33.8),), "FBNet (arXiv 1812.03443), Table 3"),
        "",
    ),
    _mobilenet_v2(
        "MobileNetV2-1.4",
        (48, 24, 32, 48, 88, 136, 224, 448),
        1792,
        Published(585, 6.9, 74.7, ((_PIXEL, 143), (_S8, 37.4)), _V2),
        _MORE.format("6.9M", "6.11M"),
    ),
    Network(
        name="MobileNetV3-Large",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_m16_relu",
            "24 2: k3_m64_relu k3_m72_relu",
            "40 2: k5_m72_relu_se k5_m120_relu_se k5_m120_relu_se",
            "80 2: k3_m240_hswish k3_m200_hswish k3_m184_hswish k3_m184_hswish",
            "112 1: k3_m480_hswish_se k3_m672_hswish_se",
            "160 2: k5_m672_hswish_se k5_m960_hswish_se k5_m960_hswish_se",
        ),
        head_channels=960,
        hidden_channels=1280,
        activation="hswish",
        always_pointwise=False,
        published=Published(219, 5.4, 75.2, ((_PIXEL, 51),), _V3),
        remark="the paper prints 5.4M parameters; its table of layers gives 5.48M, and "
        "216.6M FLOPs",
    ),
    Network(
        name="MobileNetV3-Small",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 2: k3_m16_relu_se",
            "24 2: k3_m72_relu k3_m88_relu",
            "40 2: k5_m96_hswish_se k5_m240_hswish_se k5_m240_hswish_se",
            "48 1: k5_m120_hswish_se k5_m144_hswish_se",
            "96 2: k5_m288_hswish_se k5_m576_hswish_se k5_m576_hswish_se",
        ),
        head_channels=576,
        hidden_channels=1024,
        activation="hswish",
        always_pointwise=False,
        published=Published(56, 2.5, 67.4, ((_PIXEL, 15.8),), _V3),
    ),
    Network(
        name="MnasNet-A1",
        resolution=224,
        stem_channels=32,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e6 k3_e6",
            "40 2: k5_e3_relu_se6-sigmoid" + " k5_e3_relu_se10-sigmoid" * 2,
            "80 2: k3_e6 k3_e6 k3_e6 k3_e6",
            "112 1: k3_e6_relu_se20-sigmoid k3_e6_relu_se28-sigmoid",
            "160 2: k5_e6_relu_se28-sigmoid" + " k5_e6_relu_se40-sigmoid" * 2,
            "320 1: k3_e6",
        ),
        head_channels=1280,
        always_pointwise=False,
        published=Published(312, 3.9, 75.2, ((_PIXEL, 78),), "MnasNet (arXiv 1807.11626), Table 1"),
    ),
    Network(
        name="ProxylessNAS-mobile",
        resolution=224,
        stem_channels=32,
        stages=(
            "16 1: k3_e1_relu6",
            "32 2: k5_e3_relu6 k3_e3_relu6",
            "40 2: k7_e3_relu6 k3_e3_relu6 k5_e3_relu6 k5_e3_relu6",
            "80 2: k7_e6_relu6 k5_e3_relu6 k5_e3_relu6 k5_e3_relu6",
            "96 1: k5_e6_relu6 k5_e3_relu6 k5_e3_relu6 k5_e3_relu6",
            "192 2: k7_e6_relu6 k7_e6_relu6 k7_e3_relu6 k7_e3_relu6",
            "320 1: k7_e6_relu6",
        ),
        head_channels=1280,
        activation="relu6",
        always_pointwise=False,
        published=Published(
            320,
            None,
            74.6,
            ((_PIXEL, 78),),
            "ProxylessNAS (arXiv 1812.00332), Table 4; FLOPs by Once-for-All "
            "(arXiv 1908.09791), Table 1",
        ),
    ),
    Network(
        name="EfficientNet-B0",
        resolution=224,
        stem_channels=32,
        stages=(
            "16 1: k3_e1_swish_se8-sigmoid",
            "24 2: k3_e6_swish_se4-sigmoid k3_e6_swish_se6-sigmoid",
            "40 2: k5_e6_swish_se6-sigmoid k5_e6_swish_se10-sigmoid",
            "80 2: k3_e6_swish_se10-sigmoid" + " k3_e6_swish_se20-sigmoid" * 2,
            "112 1: k5_e6_swish_se20-sigmoid" + " k5_e6_swish_se28-sigmoid" * 2,
            "192 2: k5_e6_swish_se28-sigmoid" + " k5_e6_swish_se48-sigmoid" * 3,
            "320 1: k3_e6_swish_se48-sigmoid",
        ),
        head_channels=1280,
        activation="swish",
        always_pointwise=False,
        published=Published(390, 5.3, 77.1, (), "EfficientNet (arXiv 1905.11946), Table 2"),
        remark="the paper prints 0.39 billion FLOPs; its table of layers gives 385.8M",
    ),
    Network(
        name="Single-Path-NAS",
        resolution=224,
        stem_channels=32,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e3 k3_e3 k3_e3 -",
            "40 2: k5_e6 k3_e3 k3_e3 k3_e3",
            "80 2: k5_e6 k3_e3 k3_e3 k3_e3",
            "96 1: k5_e6 k5_e3 k5_e3 k5_e3",
            "192 2: k5_e6 k5_e6 k5_e6 k5_e6",
            "320 1: k3_e6",
        ),
        head_channels=1280,
        always_pointwise=False,
        published=Published(
            None,
            4.42,
            74.96,
            ((_PIXEL, 79.48),),
            "Single-Path NAS (arXiv 1904.02877), Table 1; layers and parameters by timm (spnasnet)",
        ),
        remark="of the space single-path, whose paper prints neither FLOPs nor parameters",
    ),
)
