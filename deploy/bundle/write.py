"""A bundle's folder, written file by file; its list of contents comes last."""

from dataclasses import replace
from pathlib import Path

from deploy.bundle.card import model_card
from deploy.bundle.facts import BundleFacts
from deploy.bundle.samples import samples
from deploy.verification.output import finite, result_content, write_folder
from search.console.output import to_json
from search.files import sha256_file, write_text

BUNDLE_SCHEMA = 1


def write_bundle(facts: BundleFacts, folder: Path) -> None:
    """Write everything; `bundle.json` names each file with its sha256."""
    # With -o too, the result's own file lies in another folder.
    write_folder(replace(facts.result, file=folder / facts.file), folder)
    texts = {"README.md": model_card(facts), **samples(facts)}
    if facts.labels:
        texts["labels.txt"] = "".join(f"{label}\n" for label in facts.labels)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_text(folder / "bundle.json", to_json(finite(_content(facts, folder))) + "\n")


def _content(facts: BundleFacts, folder: Path) -> dict[str, object]:
    proof = result_content(facts.result)
    report = facts.result.report
    latency = report.latency if report else None
    return {
        "schema_version": BUNDLE_SCHEMA,
        "name": facts.name,
        "file": facts.file,
        "runtime": facts.runtime,
        "runtime_version": facts.runtime_version,
        "backend": facts.backend,
        "dtype": facts.dtype,
        "inputs": [spec.content() for spec in facts.inputs],
        "outputs": [spec.content() for spec in facts.outputs],
        "preprocessing": facts.image.content() if facts.image else None,
        "labels": "labels.txt" if facts.labels else None,
        "licence": {"model": facts.licence, "tools": "MIT"},
        "accuracy": _accuracy(facts),
        "latency_us": latency.centre_us if latency else None,
        "device": report.device if report else None,
        "proof": proof,
        "files": {
            path.name: sha256_file(path)
            for path in sorted(folder.iterdir())
            if path.is_file() and path.name != "bundle.json"
        },
    }


def _accuracy(facts: BundleFacts) -> dict[str, object] | None:
    numbers = facts.result.report.numbers if facts.result.report else None
    if numbers is None or numbers.device_top1 is None:
        return None
    return {"device_top1": numbers.device_top1, "torch_top1": numbers.torch_top1}
