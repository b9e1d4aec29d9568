"""The third journey: tables, comparisons and pages, as a performance engineer goes.

python -m tests.journeys.engineer [--keep]

Reads the tables that come with the kit; looks at the page in Chromium where there is one.
"""

import argparse
import base64
import sys
from collections.abc import Iterator
from pathlib import Path

from _pytest.outcomes import Skipped

from tests.journeys.terminal import ROOT, Desk, travel
from tests.profiler.report.browser import Browser, browser

NETWORKS = ("FBNet-A", "FBNet-C")
# Draws all figures, and lists those in which a point lies below the legend.
_COVERED = """
  await Promise.all(boxes.map(draw));
  const middle = (r) => [r.x + r.width / 2, r.y + r.height / 2];
  const inside = (r, [x, y]) => x > r.left && x < r.right && y > r.top && y < r.bottom;
  return boxes.filter((box) => {
    const legend = box.querySelector(".legend")?.getBoundingClientRect();
    return legend && [...box.querySelectorAll(".points .point")]
      .some((point) => inside(legend, middle(point.getBoundingClientRect())));
  }).map((box) => box.dataset.plot);
"""
_DESKTOP, _PHONE = (1280, 900), (390, 844)


def newest(words: str) -> list[Path]:
    """Committed tables of the FBNet space whose names hold all these words."""
    found = sorted((ROOT / "tables").glob("host-*/fbnet-r224-*"))
    return [path for path in found if all(word in path.name for word in words.split())]


def journey(desk: Desk, folder: Path) -> Iterator[str]:
    """Reading, comparing and drawing tables; what a user would stumble over."""
    plain, quantised = newest("p1 fp32 xnnpack")[-1], newest("int8 xnnpack")[-1]
    one, other = str(plain), str(quantised)
    tables = ("--table", one, "--table", other)
    desk.kit("profiler", "tables")
    desk.kit("profiler", "show", one)
    desk.kit("profiler", "validate", one, expected=(0, 1))
    desk.kit("profiler", "diff", *map(str, newest("p0 fp32 xnnpack")[:2]), expected=(0, 1))
    desk.kit("profiler", "diff", one, other, expected=(2,))  # they share no operator
    desk.kit("profiler", "compare", *NETWORKS, *tables)
    desk.kit("profiler", "curve", one)
    desk.kit("profiler", "export", "csv", one, "-o", str(folder / "table.csv"))
    checked = ("--device", "host", "--table", one, "-o", str(folder / "checkup.json"))
    desk.kit("profiler", "checkup", *checked, expected=(0, 1))
    if not (folder / "checkup.json").is_file():
        yield "the checkup wrote no file"
    page = folder / "report.html"
    networks = [word for name in NETWORKS for word in ("--network", name)]
    if desk.kit("profiler", "report", one, other, *networks, "-o", str(page)):
        operators = len((plain / "entries.csv").read_text().splitlines()) - 1
        yield from _looked_at(page, folder, operators)


def _looked_at(page: Path, folder: Path, operators: int) -> Iterator[str]:
    """The page on a desktop, on a phone, in the dark, printed, and by keyboard."""
    try:
        with browser(folder / "chromium") as found:
            for name, (width, height), scheme in (
                ("desktop", _DESKTOP, "light"),
                ("phone", _PHONE, "light"),
                ("dark", _DESKTOP, "dark"),
            ):
                yield from _seen(found, page, folder / f"{name}.png", (width, height), scheme)
            yield from _by_keyboard(found)
            yield from _printed(found, folder / "report.pdf", operators)
            yield from (f"the page complains: {text}" for text in found.complaints)
            outside = [url for url in found.requests if not url.startswith(("file:", "data:"))]
            yield from (f"the page asks the network for {url}" for url in outside)
    except Skipped as reason:
        print(f"not looked at: {reason}")


def _seen(
    found: Browser, page: Path, picture: Path, size: tuple[int, int], scheme: str
) -> Iterator[str]:
    width, height = size
    found.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=width < 600,
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    found.call("Emulation.setEmulatedMedia", media="screen", features=[feature])
    found.open(page)
    wide = found.run("document.documentElement.scrollWidth - window.innerWidth")
    if wide > 0:
        yield f"at {width} px the page is {wide} px too wide"
    if not found.run("document.querySelectorAll('svg').length"):
        yield f"at {width} px nothing is drawn"
    for name in found.run(f"(async () => {{ {_COVERED} }})()"):
        yield f"at {width} px the legend of {name} covers a point"
    found.picture(picture)
    print(f"looked at: {picture}")


def _by_keyboard(found: Browser) -> Iterator[str]:
    """What can be clicked can be reached by the tab key, too."""
    script = """
    [...document.querySelectorAll('button, select, input, a[href], summary, [onclick]')]
      .filter(e => e.tabIndex < 0 && e.offsetParent !== null).map(e => e.outerHTML.slice(0, 80))
    """
    yield from (f"cannot be reached by keyboard: {text}" for text in found.run(script))


def _printed(found: Browser, pdf: Path, rows: int) -> Iterator[str]:
    """A print holds every row and every figure."""
    found.call("Emulation.setEmulatedMedia", media="print")
    found.run("dispatchEvent(new Event('beforeprint'))")
    shown = found.run(
        "[...document.querySelectorAll('#operators tbody tr')].filter(e => e.offsetHeight).length"
    )
    empty = found.run(
        "[...document.querySelectorAll('[data-plot]')].filter(e => !e.querySelector('svg')).length"
    )
    found.run("dispatchEvent(new Event('afterprint'))")
    content = base64.b64decode(found.call("Page.printToPDF", printBackground=True)["data"])
    pdf.write_bytes(content)
    print(f"printed: {pdf}, {len(content) / 1e6:.1f} MB, {shown} rows")
    if shown < rows:
        yield f"the print shows {shown} of {rows} operators"
    if empty:
        yield f"the print lacks {empty} figures"


def main() -> int:
    """Run the journey; 1 if a user would have stumbled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave pages and pictures")
    asked = parser.parse_args()
    return travel(journey, keep=asked.keep)


if __name__ == "__main__":
    sys.exit(main())
