"""`python -m search images`: what a source of images holds, before anything is done with it."""

from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import DATA, OutputFormat, TrainFolder, ValFolder, examples
from search.console.app import check_format

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = examples(
    "python -m search images IMAGES",
    "python -m search images digits --format json",
)


def images(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="'digits', or a folder or archive of classes.")
    ],
    resolution: Annotated[
        int, typer.Option(help="Pixels a side, as a network would take.", rich_help_panel=DATA)
    ] = 32,
    train_folder: TrainFolder = None,
    val_folder: ValFolder = None,
    output_format: OutputFormat = "table",
) -> None:
    """Look at images as a search would: classes, split, and what is passed over.

    The number of classes says which table a search needs.
    """
    check_format(output_format)
    from search.console.output import emit
    from search.data.open import open_data

    data = open_data(
        source, resolution=resolution, train_folder=train_folder, val_folder=val_folder
    )
    row: dict[str, object] = {
        "classes": len(data.classes),
        "train_images": len(data.train),
        "test_images": len(data.test),
        "broken": len(data.broken),
        "name": data.name,
    }

    def table(_: "Console") -> None:
        print(data.describe())
        for note in (*data.notes, data.warning()):
            if note:
                print(note)

    content = {**row, "class_names": list(data.classes), "notes": list(data.notes)}
    emit(output_format, table=table, content=lambda: content, rows=lambda: [row])
