"""Twenty lines of Python, Kotlin and Swift that run the file, made of the bundle's facts."""

import json
from collections.abc import Mapping

from deploy.bundle.facts import BundleFacts, ImageInput
from deploy.models.tensors import TensorSpec

_KOTLIN_TYPES = {
    "float32": "FloatArray",
    "int64": "LongArray",
    "int32": "IntArray",
    "float64": "DoubleArray",
}
_SWIFT_TYPES = {
    "float32": "Float",
    "int64": "Int64",
    "int32": "Int32",
    "float64": "Double",
    "bool": "Bool",
    "int8": "Int8",
    "uint8": "UInt8",
    "int16": "Int16",
    "float16": "Float16",
}


def samples(facts: BundleFacts) -> Mapping[str, str]:
    """The text of each sample by its file's name."""
    made = {"sample.py": python_sample(facts)} if facts.suffix != ".mlpackage" else {}
    if facts.suffix != ".mlpackage":
        made["Sample.kt"] = kotlin_sample(facts)
    return {**made, "Sample.swift": swift_sample(facts)}


# --- Python


def python_sample(facts: BundleFacts) -> str:
    """A program that prints the outputs for an image, or for zeros."""
    run = _PYTHON_PTE if facts.suffix == ".pte" else _PYTHON_ONNX
    needed = "executorch, torch" if facts.suffix == ".pte" else "onnxruntime"
    if facts.image is not None and facts.is_classifier:
        head = f"# python sample.py IMAGE   (needs {needed}, pillow, numpy)\nimport sys\n"
        values = _python_image(facts.image, facts.inputs[0])
        imports, show = _PYTHON_PILLOW, _PYTHON_TOP
    else:
        head = f"# python sample.py   (needs {needed}, numpy): put your own values for the zeros\n"
        zeros = ", ".join(f"np.zeros({spec.sizes}, {spec.dtype!r})" for spec in facts.inputs)
        values, imports, show = f"inputs = [{zeros}]\n", "", _PYTHON_SHAPES
    first = "import numpy as np\n" + imports + _PYTHON_IMPORTS[facts.suffix]
    return head + first + "\n" + values + run.format(file=json.dumps(facts.file)) + show


_PYTHON_PILLOW = "from PIL import Image\n"
_PYTHON_IMPORTS = {
    # Packages that come with it remark on every start on parts that this does not use.
    ".pte": "import logging\nlogging.disable(logging.WARNING)\n"
    "import torch\nfrom executorch.runtime import Runtime\n",
    ".onnx": "import onnxruntime\n",
}
_PYTHON_PTE = """\
method = Runtime.get().load_program({file}).load_method("forward")
outputs = [x.numpy() for x in method.execute([torch.from_numpy(x) for x in inputs])]
"""
_PYTHON_ONNX = """\
session = onnxruntime.InferenceSession({file}, providers=["CPUExecutionProvider"])
outputs = session.run(None, {{i.name: x for i, x in zip(session.get_inputs(), inputs)}})
"""
_PYTHON_TOP = """\
labels = open("labels.txt", encoding="utf-8").read().splitlines()
for i in np.argsort(-outputs[0][0])[:5]:
    print(f"{outputs[0][0][i]:8.3f}  {labels[i]}")
"""
_PYTHON_SHAPES = """\
for output in outputs:
    print(output.dtype, output.shape)
"""


def _python_image(image: ImageInput, spec: TensorSpec) -> str:
    box = "None"
    lines = ['image = Image.open(sys.argv[1]).convert("RGB")\n']
    if image.area is not None:
        lines += [
            f"side = min(image.size) * {image.area}\n",
            "left, top = [(n - side) / 2 for n in image.size]\n",
        ]
        box = "(left, top, left + side, top + side)"
    size = (image.size, image.size)
    lines += [
        f"small = image.resize({size}, Image.Resampling.BILINEAR, {box})\n",
        f"mean, std = {_tuple(image.mean)}, {_tuple(image.std)}\n",
        "pixels = (np.asarray(small) / 255 - mean) / std\n",
        # Without the order the values keep that of the image, which ExecuTorch takes as it is.
        f"inputs = [pixels.transpose(2, 0, 1)[None].astype({spec.dtype!r}, order='C')]\n",
    ]
    return "".join(lines)


def _tuple(values: tuple[float, ...]) -> str:
    return f"({', '.join(map(repr, values))})"


# --- Kotlin


def kotlin_sample(facts: BundleFacts) -> str:
    """Functions for an Android app: pixels to input, and one call."""
    return _KOTLIN_HEADS[facts.suffix] + "\n" + _kotlin_input(facts) + "\n" + _kotlin_call(facts)


_KOTLIN_HEADS = {
    ".pte": """\
// implementation("org.pytorch:executorch-android:1.1.0"); the file lies in filesDir
import android.graphics.Bitmap
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
""",
    ".onnx": """\
// implementation("com.microsoft.onnxruntime:onnxruntime-android:1.22.0")
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import android.graphics.Bitmap
import java.nio.FloatBuffer
""",
}


def _kotlin_input(facts: BundleFacts) -> str:
    image = facts.image
    if image is None:
        zeros = ", ".join(_kotlin_zeros(spec) for spec in facts.inputs)
        return f"fun inputs() = listOf({zeros}) // your own values for the zeros\n"
    area = image.area if image.area is not None else 0
    cut = (
        "val s = (minOf(b.width, b.height) * "
        f"{area}).toInt()\n    val cut = Bitmap.createBitmap(b, (b.width - s) / 2, "
        "(b.height - s) / 2, s, s)\n    "
        if image.area is not None
        else "val cut = b\n    "
    )
    n = image.size
    return (
        f"fun input(b: Bitmap): FloatArray {{\n    {cut}val p = IntArray({n * n})\n"
        f"    Bitmap.createScaledBitmap(cut, {n}, {n}, true).getPixels(p, 0, {n}, 0, 0, {n}, {n})\n"
        f"    val mean = floatArrayOf({_floats(image.mean)})\n"
        f"    val std = floatArrayOf({_floats(image.std)})\n"
        f"    return FloatArray({3 * n * n}) {{ i -> val c = i / {n * n}\n"
        f"        ((p[i % {n * n}] shr (16 - 8 * c) and 255) / 255f - mean[c]) / std[c] }}\n}}\n"
    )


def _floats(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value!r}f" for value in values)


def _kotlin_zeros(spec: TensorSpec) -> str:
    kind = _KOTLIN_TYPES.get(spec.dtype, "ByteArray")
    return f"{kind}({spec.nbytes // _width(spec)})"


def _width(spec: TensorSpec) -> int:
    count = 1
    for size in spec.sizes:
        count *= size
    return max(1, spec.nbytes // max(count, 1))


def _kotlin_text(text: str) -> str:
    """A string of Kotlin, in which a dollar would begin a template."""
    return json.dumps(text).replace("$", "\\$")


def _kotlin_call(facts: BundleFacts) -> str:
    file = json.dumps(facts.file)
    shape = ", ".join(map(str, facts.inputs[0].sizes))
    if facts.suffix == ".onnx":
        return (
            "fun run(folder: String, x: FloatArray): Any {\n"
            "    val env = OrtEnvironment.getEnvironment()\n"
            f'    val session = env.createSession("$folder/" + {file})\n'
            f"    val shape = longArrayOf({shape})\n"
            "    val tensor = OnnxTensor.createTensor(env, FloatBuffer.wrap(x), shape)\n"
            f"    val inputs = mapOf({_kotlin_text(facts.inputs[0].name)} to tensor)\n"
            "    return session.run(inputs)[0].value\n"
            "}\n"
        )
    if facts.image is not None:
        return (
            "fun run(folder: String, x: FloatArray): FloatArray {\n"
            f'    val module = Module.load("$folder/" + {file})\n'
            f"    val tensor = Tensor.fromBlob(x, longArrayOf({shape}))\n"
            "    return module.forward(EValue.from(tensor))[0].toTensor().dataAsFloatArray\n}\n"
        )
    tensors = ", ".join(
        f"EValue.from(Tensor.fromBlob({_kotlin_zeros(spec)}, "
        f"longArrayOf({', '.join(map(str, spec.sizes))})))"
        for spec in facts.inputs
    )
    return (
        "fun run(folder: String): Array<EValue> {\n"
        f'    val module = Module.load("$folder/" + {file})\n'
        f"    return module.forward({tensors})\n}}\n"
    )


# --- Swift


def swift_sample(facts: BundleFacts) -> str:
    """One call for an iOS or macOS app."""
    file = json.dumps(facts.file)
    if facts.suffix == ".mlpackage":
        shape = ", ".join(map(str, facts.inputs[0].sizes))
        kind = "float16" if facts.inputs[0].dtype == "float16" else "float32"
        return _SWIFT_COREML.format(file=file, shape=shape, kind=kind, note=_swift_note(facts))
    if facts.suffix == ".onnx":
        return _SWIFT_ONNX.format(
            file=file,
            name=json.dumps(facts.inputs[0].name),
            shape=", ".join(map(str, facts.inputs[0].sizes)),
            output=json.dumps(facts.outputs[0].name),
            note=_swift_note(facts),
        )
    tensors = ", ".join(
        f"Tensor<{_SWIFT_TYPES[spec.dtype]}>(values[{n}], shape: {list(spec.sizes)})"
        if len(facts.inputs) > 1
        else f"Tensor<{_SWIFT_TYPES[spec.dtype]}>(values, shape: {list(spec.sizes)})"
        for n, spec in enumerate(facts.inputs)
    )
    kind = _SWIFT_TYPES[facts.inputs[0].dtype] if len(facts.inputs) == 1 else "[Any]"
    values = f"_ values: [{kind}]"
    return _SWIFT_PTE.format(file=file, tensors=tensors, values=values, note=_swift_note(facts))


def _swift_note(facts: BundleFacts) -> str:
    image = facts.image
    if image is None:
        return f"// Input: {'; '.join(spec.words for spec in facts.inputs)}"
    crop = "whole image" if image.area is None else f"central square of {image.area}"
    return (
        f"// Input: RGB, {crop}, resized to {image.size} x {image.size} (bilinear),\n"
        f"// (pixel / 255 - mean) / std with mean {list(image.mean)}\n"
        f"// and std {list(image.std)}, one channel after the other (NCHW)"
    )


_SWIFT_PTE = """\
// Package: https://github.com/pytorch/executorch, branch swiftpm-1.1.0 (with backend_xnnpack)
import ExecuTorch
import Foundation

{note}
func run({values}) throws -> [Float] {{
    let path = Bundle.main.bundlePath + "/" + {file}
    let module = Module(filePath: path)
    try module.load("forward")
    let outputs = try module.forward([{tensors}])
    let scores: Tensor<Float> = outputs[0].tensor()!
    return scores.scalars()
}}
"""
_SWIFT_ONNX = """\
// Package: https://github.com/microsoft/onnxruntime-swift-package-manager
import Foundation
import OnnxRuntimeBindings

{note}
func run(_ values: [Float]) throws -> Data {{
    let env = try ORTEnv(loggingLevel: .warning)
    let path = Bundle.main.bundlePath + "/" + {file}
    let session = try ORTSession(env: env, modelPath: path, sessionOptions: nil)
    let data = NSMutableData(data: values.withUnsafeBufferPointer {{ Data(buffer: $0) }})
    let input = try ORTValue(tensorData: data, elementType: .float, shape: [{shape}])
    let outputs = try session.run(
        withInputs: [{name}: input], outputNames: [{output}], runOptions: nil)
    return try outputs[{output}]!.tensorData() as Data
}}
"""
_SWIFT_COREML = """\
import CoreML
import Foundation

{note}
func run(_ values: [Float]) throws -> MLMultiArray {{
    let url = Bundle.main.bundleURL.appendingPathComponent({file})
    let model = try MLModel(contentsOf: MLModel.compileModel(at: url))
    let x = try MLMultiArray(shape: [{shape}], dataType: .{kind})
    for (i, value) in values.enumerated() {{ x[i] = NSNumber(value: value) }}
    let inputs = try MLDictionaryFeatureProvider(dictionary: ["x": x])
    return try model.prediction(from: inputs).featureValue(for: "y")!.multiArrayValue!
}}
"""
