"""kernels/: each fast version computes its formula, on shapes that fit no block, and writes nothing else.

`make kernels` runs them on the CPU in Triton's interpreter, at tiny sizes; on a GPU run `python -m pytest tests/kernels -m kernels`.
Nothing here is skipped one by one: either all of them run, or none can.
"""

import os
from importlib import import_module
from pkgutil import iter_modules

import pytest
import torch
from torch import nn

import unstill.kernels
from unstill.kernels.add_norm import add_norm, add_norm_plain
from unstill.kernels.attend import attend_over_time, attend_plain
from unstill.kernels.attend_wide import attend_wide, softmax, softmax_plain
from unstill.kernels.gate import gate_plain, multiply_and_gate, try_kernel
from unstill.kernels.launch import runs_on_triton
from unstill.kernels.mix import mix, mix_plain
from unstill.kernels.norm import group_norm, group_norm_plain
from unstill.kernels.over_time import add_convolved, convolve_over_time, convolve_plain
from unstill.kernels.weave import double, weave, weave_plain

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
if not runs_on_triton(torch.zeros(1, device=DEVICE)):
    reason = "kernels need a GPU, or Triton and TRITON_INTERPRET=1"
    if os.environ.get("KERNELS_MUST_RUN"):
        pytest.exit(reason, returncode=1)
    pytest.skip(reason, allow_module_level=True)
pytestmark = pytest.mark.kernels
EXACT = {torch.float32: 2e-6, torch.float16: 8e-4, torch.bfloat16: 8e-3}
MULTIPLIED = EXACT if ON_GPU else [torch.float32, torch.float16]  # the interpreter cannot multiply bfloat16


def sizes(*tiny, full=()):
    """Return the cases of a kernel: the interpreter takes seconds for one of a real size."""
    return [*tiny, *full] if ON_GPU else [*tiny]


def list_kernels():
    """Return every Triton function of the package by name."""
    modules = (import_module(f"unstill.kernels.{one.name}") for one in iter_modules(unstill.kernels.__path__))
    found = {name: value for module in modules for name, value in vars(module).items() if name.endswith("_kernel")}
    return {name: kernel for name, kernel in found.items() if hasattr(kernel, "add_pre_run_hook")}


LAUNCHED = set()
for name, kernel in list_kernels().items():
    kernel.add_pre_run_hook(lambda *told, name=name, **more: LAUNCHED.add(name))


@pytest.fixture(autouse=True)
def _draw_the_same_numbers_and_round_nothing(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def draw(*shape, dtype=torch.float32, scale=1.0, shift=0.0):
    return (torch.randn(shape, device=DEVICE) * scale + shift).to(dtype)


def assert_close(made, formula, dtype):
    exact = formula.double()
    error = float((made.detach().double() - exact.detach()).norm() / exact.norm())
    assert error < EXACT[dtype], error


def widen(module):
    copy = type(module)(*((module.num_groups, module.num_channels) if isinstance(module, nn.GroupNorm)
                          else (module.normalized_shape,)), eps=module.eps)  # fmt: skip
    copy.load_state_dict(module.state_dict())
    return copy.double().to(DEVICE)


@pytest.mark.parametrize("dtype", MULTIPLIED)
@pytest.mark.parametrize(
    ("rows", "depth", "width"), sizes((1, 8, 16), (130, 72, 136), full=[(77, 320, 640), (130, 72, 1000), (300, 640, 256)])
)
def test_product_and_gate(rows, depth, width, dtype):
    x, weight, bias = draw(rows, depth, dtype=dtype), draw(2 * width, depth, dtype=dtype), draw(2 * width, dtype=dtype)
    weight /= depth**0.5
    assert_close(multiply_and_gate(x, weight, bias), gate_plain(x.double(), weight.double(), bias.double()), dtype)


def test_the_trial_finds_nothing_wrong():
    assert try_kernel(str(DEVICE)) is None


@pytest.mark.parametrize("dtype", MULTIPLIED)
@pytest.mark.parametrize(
    ("clips", "frames", "pixels", "depth", "width"),
    sizes(
        (1, 1, 67, 16, 8),
        (2, 3, 133, 40, 24),
        (2, 3, 33, 100, 64),
        full=[
            (1, 1, 1025, 64, 64),
            (2, 25, 1100, 320, 320),
            (1, 14, 1031, 128, 72),
            (3, 2, 1200, 40, 256),
            (2, 3, 257, 100, 64),
        ],
    ),
)
def test_convolution_over_time(clips, frames, pixels, depth, width, dtype):
    x, bias = draw(clips, frames, pixels, depth, dtype=dtype), draw(width, dtype=dtype)
    weight = (draw(width, depth, 3, 1) / (3 * depth) ** 0.5).to(dtype).contiguous(memory_format=torch.channels_last)
    formula = convolve_plain(x.double(), weight.double())
    assert_close(convolve_over_time(x, weight), formula, dtype)
    whole = draw(clips, frames, pixels + 9, width, dtype=dtype)
    before, band = whole.clone(), whole[:, :, 4:-5]
    formula = band.double() + formula + bias.double()
    add_convolved(band, x, weight, bias)
    assert_close(band, formula, dtype)
    band.copy_(before[:, :, 4:-5])
    assert torch.equal(whole, before)  # nothing beside it was touched


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(
    ("many", "rows", "columns", "depth", "width"), sizes((1, 1, 1, 8, 8), (2, 5, 7, 24, 40), full=[(3, 9, 40, 16, 64)])
)
def test_doubling(many, rows, columns, depth, width, dtype):
    y, bias = draw(many, rows + 1, columns + 1, 4 * width, dtype=dtype), draw(width, dtype=dtype)
    assert_close(weave(y, bias), weave_plain(y.double(), bias.double()), dtype)
    x, weight = draw(many, rows, columns, depth, dtype=dtype), draw(4 * width, depth, 2, 2, dtype=dtype)
    assert double(x, weight, bias).shape == (many, 2 * rows, 2 * columns, width)


@pytest.mark.parametrize("width", sizes(1, 300, full=[9216]))
def test_softmax(width):
    scores = draw(7, width, scale=5)
    assert_close(softmax(scores, 0.3, torch.float16), softmax_plain(scores.double(), 0.3), torch.float16)


@pytest.mark.parametrize("positions", sizes(67, full=[600]))
def test_wide_attention(positions):
    q, k, v = draw(3, positions, 3, 512, dtype=torch.float16).unbind(2)
    exact = torch.nn.functional.scaled_dot_product_attention(*(part.double() for part in (q, k, v)))
    assert_close(attend_wide(q, k, v), exact, torch.float16)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(
    ("rows", "width", "many", "period"),
    sizes((1, 32, 1, 1), (9, 100, 3, 1), (37, 320, 5, 10), full=[(150, 320, 5, 10), (77, 1280, 2, 40)]),
)
def test_mix(rows, width, many, period, dtype):
    x, y, table = draw(rows, width, dtype=dtype), draw(rows, width, dtype=dtype), draw(many, width, dtype=dtype)
    formula = mix_plain(x.double(), y.double(), table.double(), period, 0.3)
    assert_close(mix(x, y, table, period, 0.3), formula, dtype)
    assert mix(x, y, table, period, 0.3, out=y) is y
    assert_close(y, formula, dtype)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(
    ("rows", "width", "many", "period"),
    sizes((1, 32, 1, 1), (9, 100, 3, 1), (37, 320, 5, 10), full=[(150, 320, 5, 10), (77, 1280, 2, 40)]),
)
def test_add_norm(rows, width, many, period, dtype):
    norm = nn.LayerNorm(width).to(DEVICE, dtype)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x, table = draw(rows, width, dtype=dtype, shift=3), draw(many, width, dtype=dtype)
    stream = x.double()
    formula = add_norm_plain(stream, table.double(), period, widen(norm))
    made = add_norm(x, table, period, norm)
    assert_close(x, stream, dtype)
    assert_close(made, formula, torch.bfloat16 if dtype == torch.bfloat16 else torch.float16)  # the stream is rounded first


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize(
    ("many", "positions", "width"),
    sizes((1, 5, 64), (2, 37, 96), full=[(2, 131, 320), (3, 1000, 96), (1, 9000, 64), (2, 300, 1920)]),
)
def test_group_norm(many, positions, width, silu, dtype):
    norm = nn.GroupNorm(32, width, eps=1e-6).to(DEVICE, dtype)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x, bias = draw(many, positions, width, dtype=dtype, shift=2), draw(width, dtype=dtype)
    for with_bias in (None, bias):
        double = None if with_bias is None else with_bias.double()
        formula = group_norm_plain(x.double(), widen(norm), double, silu=silu)
        assert_close(group_norm(x, norm, with_bias, silu=silu), formula, dtype)


def test_group_norm_of_values_far_from_zero_does_not_cancel():
    norm = nn.GroupNorm(32, 64).to(DEVICE)
    x = draw(1, 5000 if ON_GPU else 500, 64, scale=0.01, shift=30)
    formula = group_norm_plain(x.double(), widen(norm), silu=False)
    assert float((group_norm(x, norm, silu=False).double() - formula).norm() / formula.norm()) < 1e-3


@pytest.mark.parametrize("dtype", MULTIPLIED)
@pytest.mark.parametrize(
    ("clips", "frames", "pixels", "heads", "width"),
    sizes((1, 1, 1, 1, 16), (1, 14, 9, 2, 32), full=[(2, 25, 7, 5, 64), (1, 14, 33, 2, 32), (1, 40, 3, 1, 64)]),
)
def test_attention_over_time(clips, frames, pixels, heads, width, dtype):
    qkv = draw(clips, frames, pixels, 3 * heads * width, dtype=dtype)
    assert_close(attend_over_time(qkv, heads), attend_plain(qkv.double(), heads), dtype)


def test_every_kernel_was_launched_by_a_test_above():
    """A case that falls back to the plain version would pass, and show nothing."""
    assert set(list_kernels()) == LAUNCHED
