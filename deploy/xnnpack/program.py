"""A whole `.pte` file around one delegate.

Header, plan, memory and segments are what ExecuTorch writes for a program whose only
instruction is a call of the delegate (`executorch/exir/_serialize/_program.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deploy.xnnpack.delegate import Delegate
from deploy.xnnpack.flatbuffer import DELEGATE_SCHEMA, PROGRAM_SCHEMA, compile_flatbuffer

_SCALAR_TYPES = {torch.int8: 1, torch.float32: 6}
_CONSTANT_ALIGNMENT, _SEGMENT_ALIGNMENT = 16, 128
_ONE_TENSOR = '{"type": null, "context": null, "children_spec": []}'
_ONE_ARGUMENT = (
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": '
    f'"builtins.tuple", "context": "null", "children_spec": [{_ONE_TENSOR}]}}, '
    '{"type": "builtins.dict", "context": "[]", "children_spec": []}]}]'
)


@dataclass(frozen=True, slots=True)
class Interface:
    """What a program takes and gives.

    example: its input; shape and memory order count.
    result: its output; shape and memory order count.
    scalars: numbers that the delegate is handed behind the input, in this order.
    """

    example: Tensor
    result: Tensor
    scalars: Sequence[Tensor] = ()


def write_program(interface: Interface, delegate: Delegate | None) -> bytes:
    """The file's bytes; without a delegate the program hands its input back.

    Raises:
        ExportError: ExecuTorch is not installed.
    """
    buffers, indices = _constant_buffers(interface.scalars)
    segments = [_joined(buffers)]
    plan = _plan(interface, indices, has_delegate=delegate is not None)
    program: dict[str, Any] = {
        "version": 0,
        "execution_plan": [plan],
        "constant_buffer": [],
        "backend_delegate_data": [],
        "segments": [],
        "constant_segment": {"segment_index": 0, "offsets": _offsets(buffers)},
    }
    if delegate is not None:
        segments.append(_payload(delegate))
        named = _with_segments(delegate.named, segments)
        program["named_data"] = named
    program["segments"] = _placed(segments)
    return _file(compile_flatbuffer(PROGRAM_SCHEMA, program), segments, program["segments"])


def _payload(delegate: Delegate) -> bytes:
    """Header and graph, as `executorch/backends/xnnpack` reads them; constants lie outside."""
    graph = compile_flatbuffer(DELEGATE_SCHEMA, delegate.content)
    start, size = 32, len(graph)
    padded = _aligned(size, _CONSTANT_ALIGNMENT)
    header = b"\0\0\0\0XH00" + (30).to_bytes(2, "little")
    header += start.to_bytes(4, "little") + size.to_bytes(4, "little")
    header += (start + padded).to_bytes(4, "little") + (0).to_bytes(8, "little")
    return header.ljust(start, b"\0") + graph.ljust(padded, b"\0")


def _with_segments(named: dict[str, bytes], segments: list[bytes]) -> list[dict[str, Any]]:
    """Append each constant as a segment; equal ones share theirs."""
    first = len(segments)
    places: dict[bytes, int] = {}
    for content in named.values():
        places.setdefault(content, first + len(places))
    segments += places
    return [{"key": name, "segment_index": places[content]} for name, content in named.items()]


def _constant_buffers(scalars: Sequence[Tensor]) -> tuple[list[bytes], list[int]]:
    """Different contents, the empty one first, and the number of each scalar's."""
    contents = [scalar.numpy().tobytes() for scalar in scalars]
    buffers = list(dict.fromkeys([b"", *contents]))
    return buffers, [buffers.index(content) for content in contents]


def _offsets(buffers: Sequence[bytes]) -> list[int]:
    ends = [0]
    for buffer in buffers:
        ends.append(ends[-1] + _aligned(len(buffer), _CONSTANT_ALIGNMENT))
    return ends[:-1]


def _joined(buffers: Sequence[bytes]) -> bytes:
    *others, last = buffers
    padded = [each.ljust(_aligned(len(each), _CONSTANT_ALIGNMENT), b"\0") for each in others]
    return b"".join([*padded, last])


def _plan(interface: Interface, indices: Sequence[int], *, has_delegate: bool) -> dict[str, Any]:
    # Numbers in int8 come before those in floats, though the delegate reads them in order.
    order = sorted(range(len(indices)), key=lambda i: interface.scalars[i].is_floating_point())
    values = [_tensor(interface.scalars[i], buffer=indices[i]) for i in order]
    start = len(values)
    tensors = [interface.example, *([interface.result] if has_delegate else [])]
    offsets, total = _memory(tensors)
    values += [_tensor(x, offset=offset) for x, offset in zip(tensors, offsets, strict=True)]
    end = start + len(tensors) - 1
    handed_in = [start, *(order.index(i) for i in range(len(indices))), end]
    call = {"delegate_index": 0, "args": handed_in}
    delegate = {
        "id": "XnnpackBackend",
        "processed": {"location": 1, "index": 1},
        "compile_specs": [],
    }
    calls = [{"instr_args": call, "instr_args_type": "DelegateCall"}] if has_delegate else []
    return {
        "name": "forward",
        "container_meta_type": {
            "encoded_inp_str": _ONE_ARGUMENT,
            "encoded_out_str": f"[1, {_ONE_TENSOR}]",
        },
        "values": [{"val": value, "val_type": "Tensor"} for value in values],
        "inputs": [start],
        "outputs": [end],
        "chains": [{"inputs": [], "outputs": [], "instructions": calls, "stacktrace": None}],
        "operators": [],
        "delegates": [delegate] if has_delegate else [],
        "non_const_buffer_sizes": [0, total],
    }


def _memory(tensors: Sequence[Tensor]) -> tuple[list[int], int]:
    """Offsets of input and output in the planned memory, and its size, in bytes.

    The larger lies first, the output where both are equal; a program with a delegate
    gets 64 bytes more.
    """
    sizes = [_aligned(x.numel() * x.element_size(), _CONSTANT_ALIGNMENT) for x in tensors]
    if len(sizes) == 1:
        return [0], sizes[0]
    first, second = sizes
    offsets = [0, first] if first > second else [second, 0]
    return offsets, first + second + 64


def _tensor(x: Tensor, *, buffer: int = 0, offset: int | None = None) -> dict[str, Any]:
    place = {"memory_id": 1, "memory_offset_low": offset, "memory_offset_high": 0}
    return {
        "scalar_type": _SCALAR_TYPES[x.dtype],
        "storage_offset": 0,
        "sizes": list(x.shape),
        "dim_order": list(x.dim_order()),
        "requires_grad": False,
        "layout": 0,
        "data_buffer_idx": buffer,
        "allocation_info": None if offset is None else place,
        "shape_dynamism": 0,
    }


def _placed(segments: Sequence[bytes]) -> list[dict[str, int]]:
    placed: list[dict[str, int]] = []
    end = 0
    for segment in segments:
        start = _aligned(end, _SEGMENT_ALIGNMENT)
        placed.append({"offset": start, "size": len(segment)})
        end = start + len(segment)
    return placed


def _file(program: bytes, segments: Sequence[bytes], placed: Sequence[dict[str, int]]) -> bytes:
    """The program with ExecuTorch's extended header behind its magic word, then the segments."""
    parts, end = [], 0
    for segment, place in zip(segments, placed, strict=True):
        parts += [b"\0" * (place["offset"] - end), segment]
        end = place["offset"] + len(segment)
    data = b"".join(parts)
    if not data:
        return program
    length = 32
    size = len(program) + length
    base = _aligned(size, _SEGMENT_ALIGNMENT)
    header = b"eh00" + length.to_bytes(4, "little")
    header += b"".join(number.to_bytes(8, "little") for number in (size, base, len(data)))
    root = int.from_bytes(program[:4], "little") + length
    whole = root.to_bytes(4, "little") + program[4:8] + header + program[8:]
    return whole.ljust(base, b"\0") + data


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
