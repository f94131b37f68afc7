"""plan.py: every number resolved, every risk said."""

import numpy as np
import pytest

from unstill.artifacts import Box, PreparedImage
from unstill.catalog.find import find_model
from unstill.errors import MachineError
from unstill.memory.machine import Machine, look_at_machine
from unstill.plan import choose_chunk, make_plan
from unstill.request import Request
from unstill.values import Guidance, Size

CPU = Machine("cpu", "CPU", 2**34, 2**33, ("fp32", "bf16", "fp16"))
OLD_GPU = Machine("cuda:0", "GTX 1080", 2**33, 2**33, ("fp16", "fp32"))


@pytest.fixture
def plan_for(miniature):
    pixels = np.zeros((64, 96, 3), np.uint8)
    image = PreparedImage(pixels, pixels, Box(0, 8, 96, 48), Size(960, 480), "0" * 64)

    def make(machine=CPU, **knobs):
        request = Request.from_mapping({"model": str(miniature), **knobs})
        return make_plan(request, image, find_model(request.model), machine)

    return make


def test_nothing_is_left_open(plan_for):
    settled = plan_for().request
    assert (settled.motion, settled.noise, settled.fps, settled.steps) == (127, 0.02, 7, 25)
    assert (settled.frames, settled.guidance, settled.play_fps) == (14, Guidance(1, 3), 7)
    assert (settled.device, settled.dtype) == ("cpu", "fp32")
    assert settled.seed is not None


def test_an_open_seed_is_drawn_anew_each_time(plan_for):
    assert len({plan_for().seed for _ in range(5)}) == 5


def test_the_clip_is_what_is_left_without_padding(plan_for):
    plan = plan_for()
    assert (plan.size, plan.clip_size) == (Size(96, 64), Size(96, 48))


@pytest.mark.parametrize(("dtype", "bytes_each"), [("fp32", 4), ("bf16", 2)])
def test_weights_are_counted_in_the_dtype_that_runs(plan_for, miniature, dtype, bytes_each):
    from safetensors import safe_open

    count = 0
    for path in miniature.rglob("*.safetensors"):
        if "fp16" not in path.name:
            with safe_open(path, "pt") as file:
                count += sum(file.get_tensor(name).numel() for name in file.keys() if "position_ids" not in name)  # noqa: SIM118
    assert plan_for(dtype=dtype).weights_bytes == count * bytes_each


def test_a_dtype_that_the_device_lacks_is_an_error_with_a_way_out(plan_for):
    with pytest.raises(MachineError, match="GTX 1080 cannot run bf16") as caught:
        plan_for(OLD_GPU, dtype="bf16")
    assert caught.value.hint == "--dtype fp16"


def test_the_best_dtype_of_the_device_is_taken(plan_for):
    assert plan_for(OLD_GPU).dtype == "fp16"


@pytest.mark.parametrize(
    ("asked", "size", "chunk"),
    [(None, (256, 256), 14), (None, (1024, 576), 1), (None, (512, 512), 2), (None, (4096, 4096), 1), (5, (64, 64), 5),
     (99, (1024, 576), 14)],
)  # fmt: skip
def test_a_small_clip_is_decoded_whole_and_a_large_one_by_layers(asked, size, chunk):
    assert choose_chunk(Request(frames=14, decode_chunk=asked), Size(*size)) == chunk


def test_a_device_that_is_not_here_is_an_error():
    with pytest.raises(MachineError, match="No device cuda:7"):
        look_at_machine("cuda:7")


def test_the_cpu_is_always_here():
    machine = look_at_machine("cpu")
    assert machine.dtypes[0] == "fp32"
    assert machine.total_bytes is None or machine.total_bytes > machine.free_bytes > 0
