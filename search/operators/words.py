"""Short, human-readable names of operators and spaces."""

from search.operators.spec import parse_key


def space_label(spec: str) -> str:
    """A space's spec without the layout that one's own spaces carry behind a colon."""
    return spec.partition(":")[0]


def short_name(key: str) -> str:
    """An operator's key in a few words; "-" for an empty key."""
    if not key:
        return "-"
    spec = parse_key(key)
    if spec.kind == "skip":
        return f"skip {spec.in_channels} {spec.height}x{spec.width}"
    words = {"conv": f"conv{spec.kernel}", "classifier": "classifier"}.get(spec.kind, "")
    if spec.kind == "classifier" and spec.mid_channels:
        words += f"_m{spec.mid_channels}"
    if spec.kind == "uib":
        words = f"uib_d{spec.start_kernel}_k{spec.kernel}_e{spec.expansion:g}"
        words += f"_{spec.activation.replace('hswish', 'hs')}" if spec.activation != "relu" else ""
    if spec.kind == "ir":
        spelled = spec.mid_channels == spec.expansion * spec.in_channels
        twice = f"x{spec.depthwise}" if spec.depthwise > 1 else ""
        words = f"k{spec.kernel}{twice}_" + (
            f"e{spec.expansion:g}" if spelled else f"m{spec.mid_channels}"
        )
        words += f"_{spec.activation.replace('hswish', 'hs')}" if spec.activation != "relu" else ""
        words += f"_g{spec.groups}" if spec.groups > 1 else ""
        if spec.squeeze_channels:
            split = f"_sa{spec.splits}-" if spec.splits > 1 else "_se"
            words += f"{split}{spec.squeeze_channels}"
        words += "+1x1" if spelled and spec.expansion == 1 and spec.first_pointwise else ""
    stride = f"/{spec.stride}" if spec.stride > 1 else ""
    return f"{words} {spec.in_channels}>{spec.out_channels} {spec.height}x{spec.width}{stride}"
