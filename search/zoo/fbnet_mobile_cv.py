"""FBNet-A, -B and -C as the package mobile_cv defines them: later networks of those names.

Facts restated from facebookresearch/mobile-vision (`mobile_cv`,
fbnet_modeldef_cls_fbnet.py). They drop the first 1x1 of a block whose expansion is 1 and use
no block that the paper does not list; weights that others publish as "FBNet-C" are of
these. The figures are those of that release, not of the paper.
"""

from search.zoo.definition import Network, Published

_RELEASE = "facebookresearch/mobile-vision, model_info_fbnet.json; not in the paper"

NETWORKS = (
    Network(
        name="FBNet-A-mobile-cv",
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
        published=Published(244.5, 4.27, 73.3, (), _RELEASE),
    ),
    Network(
        name="FBNet-B-mobile-cv",
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
        published=Published(291.1, 4.77, 74.54, (), _RELEASE),
    ),
    Network(
        name="FBNet-C-mobile-cv",
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
        published=Published(378.2, 5.53, 75.25, (), _RELEASE),
    ),
)
