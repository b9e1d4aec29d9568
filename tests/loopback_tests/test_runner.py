"""The kit's own runner on the loopback device."""

import json
import warnings
from typing import Any

import numpy as np
import pytest

from device_agents.native import build as native
from device_agents.protocol import Bye, Hello, Plan, PlanItem, Record, Sample, dump_plan
from device_agents.protocol import parse_record as parse
from tests.loopback import LoopbackDevice
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host
from tests.loopback_tests.test_shell import gone
from tests.loopback_tests.test_sync import TMP, pull, push

KIT = f"{TMP}/kit"


@pytest.fixture(scope="session")
def runner() -> bytes:
    binary = native.find()
    if binary is None:
        pytest.skip("the native runner is not built (python -m device_agents.native)")
    return binary.read_bytes()


@pytest.fixture(scope="session")
def convolution() -> tuple[bytes, bytes, np.ndarray[Any, Any]]:
    """A program, its input and what PyTorch makes of it."""
    torch = pytest.importorskip("torch", reason="makes the program")
    pytest.importorskip("executorch.exir", reason="makes the program")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    image = torch.randn(1, 3, 9, 7)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.export.export(module, (image,))
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        wanted = module(image).numpy()
    return lowered.to_executorch().buffer, image.numpy().tobytes(), wanted


def run(host: Host, device: LoopbackDevice, folder: str) -> list[Record]:
    """Run a plan of one program, by the runner in the kit's folder."""
    item = PlanItem(
        id=1, file=f"{folder}conv.pte", sha256="", input=f"{folder}in", output=f"{folder}out"
    )
    plan = Plan(
        nonce="n",
        backend="xnnpack",
        threads=1,
        affinity=device.phone.cpus[-1:],
        order_seed=0,
        rounds=3,
        min_block_ns=20_000,
        items=(item,),
    )
    words = f"cd {KIT} && exec ./runner --serve"
    code, out, errors = host.v2(words, f"{dump_plan(plan)}\n".encode())
    assert code == 0, errors
    return [parse(line) for line in out.decode().splitlines()]


def test_it_runs_a_plan_pinned_with_the_described_heat_and_the_right_outputs(
    make_device: MakeDevice, ground: str, runner: bytes, convolution: Any
) -> None:
    program, image, wanted = convolution
    device = make_device(ground=ground)
    with Host(device.port).connect() as host:
        assert push(host, runner, f"{KIT}/runner", 0o100755) == b"OKAY"
        push(host, program, f"{KIT}/conv.pte")
        push(host, image, f"{KIT}/in")
        hello, *others, bye = run(host, device, "")
        found = np.frombuffer(pull(host, f"{KIT}/out"), np.float32)
        assert isinstance(hello, Hello)
        assert hello.affinity == device.phone.cpus[-1:]
        samples = [record for record in others if isinstance(record, Sample)]
        assert {sample.temperature_mc for sample in samples} == {38_000}
        assert isinstance(bye, Bye)
        assert (len(samples), bye.samples, bye.failures) == (3, 3, 0)
        np.testing.assert_allclose(np.sort(found), np.sort(wanted.ravel()), rtol=1e-4, atol=1e-6)
        if ground == "namespace":  # elsewhere paths inside a plan are the host's
            kinds = [type(record) for record in run(host, device, f"{KIT}/")]
            assert kinds == [Hello, *map(type, others), Bye]


def test_the_kits_runner_starts_answers_and_dies_with_its_stream(
    device: LoopbackDevice, runner: bytes
) -> None:
    with Host(device.port).connect() as host:
        assert push(host, runner, f"{TMP}/kit/runner", 0o100755) == b"OKAY"
        code, out, errors = host.v2(f"{TMP}/kit/runner --version")
        assert (code, errors) == (0, b"")
        assert "XnnpackBackend" in json.loads(out)["backends"]
        stream = host.open(f"exec:echo $$; exec {TMP}/kit/runner --serve")
        pid = int(stream.read())
        # The shell tells its number before it becomes the runner.
        become = f"until readlink /proc/{pid}/exe | grep -q runner; do sleep 0.02; done"
        assert host.v2(f"timeout 60 sh -c '{become}'")[0] == 0
        stream.close()
        assert gone(pid)
