"""The page: template, style, script and data in one file that loads nothing else."""

import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from profiler import __version__
from profiler.report.data import PageContents, page_data
from profiler.report.drawing import draw_network
from profiler.report.views import BAND, DRAWN
from search.console.progress import Progress
from search.errors import UsageError
from search.files import write_text


def write_page(
    contents: PageContents, path: Path, title: str, progress: Progress | None = None
) -> int:
    """Write the page; returns its size in bytes.

    Raises:
        UsageError: The file cannot be written, or a package is missing.
    """
    text = render(contents, title, progress)
    try:
        write_text(path, text)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror}.", "Choose another file with --output."
        ) from error
    return len(text.encode())


def render(contents: PageContents, title: str, progress: Progress | None = None) -> str:
    """The page as text.

    Raises:
        UsageError: jinja2 or plotly is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError(
            f"The report needs {error.name}, which is not installed.",
            "Install the kit with pip install -e '.[profile]'.",
        ) from error
    environment = Environment(
        loader=PackageLoader("profiler.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = files("profiler.report") / "assets"
    common = {
        "title": title,
        "version": __version__,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "style": (assets / "page.css").read_text(encoding="utf-8"),
        "proofs": contents.proofs,
    }
    if not contents.tables:
        return environment.get_template("proof_page.html.j2").render(common)
    data = page_data(contents, progress)
    return environment.get_template("page.html.j2").render(
        **common,
        script=(assets / "page.js").read_text(encoding="utf-8"),
        views_script=(assets / "views.js").read_text(encoding="utf-8"),
        tables_script=(assets / "operators.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        data=_embed(data),
        tables=data["tables"],
        networks=[network.name for network in contents.networks],
        accuracy=any(data["accuracy"]),
        flops=data["flops"],
        drawn=DRAWN,
        band=BAND,
        fronts=contents.fronts,
        drawings=[draw_network(network.architecture) for network in contents.networks],
    )


def _embed(data: object) -> str:
    """JSON without characters that a browser could take for markup."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
