"""PackedMatrix matrices hold exactly GGUF's weights, and the C kernel multiplies by exactly those."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from tests.vision.llm.unpack_reference import unpack_floats
from tests.vision.tiny_gguf import random_bytes
from vision.downloads.store import home
from vision.llm.gguf import Tensor
from vision.llm.kernels.binding import matrix_struct
from vision.llm.kernels.build import load_kernels, runnable_paths
from vision.llm.repack import Layout, PackedMatrix, pack

EXACT = {
    "Q4_0": Layout.P4,
    "Q4_1": Layout.P4,
    "Q4_K": Layout.P4K,
    "Q5_K": Layout.P5K,
    "Q6_K": Layout.P6K,
    "Q8_0": Layout.P8,
}
ROUNDED = ("F32", "F16", "BF16", "Q5_0")


class SpanStruct(ctypes.Structure):
    """QSpan of matmul.h: 256 activations of a row."""

    _fields_ = [
        ("q", ctypes.c_int8 * 256),
        ("times", ctypes.c_int32 * 8),
        ("sum", ctypes.c_int16 * 8),
        ("unit", ctypes.c_float),
        ("scale", ctypes.c_float * 8),
        ("centre", ctypes.c_int32 * 16),
    ]


class RowsStruct(ctypes.Structure):
    _fields_ = [("span", ctypes.c_void_p), ("count", ctypes.c_int32), ("inputs", ctypes.c_int32)]


@pytest.fixture(scope="module", params=runnable_paths())
def kernels(request: pytest.FixtureRequest) -> ctypes.CDLL:
    return load_kernels(home() / "converted", request.param)


def tensor(kind: str, outputs: int = 44, inputs: int = 512) -> Tensor:
    data = random_bytes(kind, outputs, inputs, np.random.default_rng(7))
    return Tensor("some.weight", kind, (outputs, inputs), data)


def unpacked(packed: PackedMatrix) -> np.ndarray:
    return unpack_floats(packed.layout, packed.outputs, packed.inputs, packed.data)


@pytest.mark.parametrize("kind", EXACT)
def test_packing_keeps_every_weight_as_the_gguf_package_dequantises_it(kind: str) -> None:
    original = tensor(kind)
    packed = pack(original)
    assert packed.layout is EXACT[kind]
    weights = unpacked(packed)
    np.testing.assert_allclose(weights[:44], original.floats(), rtol=2e-7, atol=1e-9)
    assert packed.outputs == 48
    assert not weights[44:].any(), "outputs added as padding must be zero"


@pytest.mark.parametrize("kind", ROUNDED)
def test_kinds_without_a_layout_are_rounded_to_eight_bits(kind: str) -> None:
    original = tensor(kind)
    packed = pack(original)
    assert packed.layout is Layout.P8
    blocks = original.floats().reshape(-1, 32)
    error = np.abs(unpacked(packed)[:44].reshape(-1, 32) - blocks)
    assert (error <= np.abs(blocks).max(1, keepdims=True) / 127 * 0.5 + 1e-4).all()


def test_a_matrix_packed_in_parts_equals_one_packed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pack(tensor("Q6_K"))
    monkeypatch.setattr("vision.llm.repack.OUTPUTS_AT_A_TIME", 16)
    np.testing.assert_array_equal(pack(tensor("Q6_K")).data, whole.data)


def quantised(kernels: ctypes.CDLL, x: np.ndarray) -> tuple[RowsStruct, np.ndarray, np.ndarray]:
    """RowsStruct for the kernel, their memory, and the values they stand for."""
    n, inputs = x.shape
    spans = -(-inputs // 256)
    memory = np.zeros(n * spans, np.dtype(SpanStruct))
    rows = RowsStruct(memory.ctypes.data, n, inputs)
    for row in range(n):
        kernels.quantise_row(ctypes.c_void_p(x[row].ctypes.data), ctypes.byref(rows), row)
    values = np.empty((n, spans, 8, 32))
    for row in range(n):
        start, height = row // 16 * 16, min(16, n - row // 16 * 16)
        own = memory[start * spans + row % 16 :][::height][:spans]
        values[row] = own["q"].reshape(spans, 8, 32) * own["scale"][:, :, None].astype(np.float64)
    return rows, memory, values.reshape(n, -1)[:, :inputs]


@pytest.mark.parametrize("kind", [*EXACT, "F16"])
@pytest.mark.parametrize("rows", [1, 2, 16, 19])
def test_the_kernel_multiplies_like_float64(kernels: ctypes.CDLL, kind: str, rows: int) -> None:
    packed = pack(tensor(kind))
    x = np.random.default_rng(rows).standard_normal((rows, 512)).astype(np.float32)
    x[0, :32] = 0
    quantised_rows, memory, values = quantised(kernels, x)
    assert np.abs(values - x).max() <= np.abs(x).max() / 127 * 0.51
    out = np.full((rows, packed.outputs), np.nan, np.float32)
    matrix = matrix_struct(packed)
    kernels.matmul_groups(
        ctypes.byref(matrix), ctypes.byref(quantised_rows), ctypes.c_void_p(out.ctypes.data), packed.outputs, 0, 6
    )
    expected = values @ unpacked(packed).astype(np.float64).T
    np.testing.assert_allclose(out, expected, atol=2e-6 * np.abs(expected).max())
    assert len(memory)


@pytest.mark.parametrize("kind", ["Q4_1", "Q4_K", "Q6_K", "Q8_0"])
def test_the_largest_weights_and_activations_do_not_overflow(kernels: ctypes.CDLL, kind: str) -> None:
    """All quants at their extremes against activations of one size: the int16 sums are fullest here."""
    packed = pack(tensor(kind))
    for byte in (0xFF, 0x00, 0x7F):
        data = packed.data.copy().reshape(6, -1)
        sizes = {"Q4_1": (160, 0, 32), "Q4_K": (128, 160, 0), "Q6_K": (192, 160, 0), "Q8_0": (272, 0, 16)}
        block, header, head = sizes[kind]
        for at in range(0, data.shape[1], header + (8 if header else 1) * block):
            for b in range(8 if header else 1):
                start = at + header + b * block
                data[:, start + head : start + block] = 0x81 if (kind, byte) == ("Q8_0", 0xFF) else byte
        extreme = PackedMatrix(packed.layout, packed.outputs, packed.inputs, data.reshape(-1))
        x = np.where(np.random.default_rng(byte).random((3, 512)) < 0.5, -1, 1).astype(np.float32)
        x[1], x[2] = 1, -1
        rows, _memory, values = quantised(kernels, x)
        out = np.empty((3, packed.outputs), np.float32)
        matrix = matrix_struct(extreme)
        kernels.matmul_groups(
            ctypes.byref(matrix), ctypes.byref(rows), ctypes.c_void_p(out.ctypes.data), packed.outputs, 0, 6
        )
        expected = values @ unpacked(extreme).astype(np.float64).T
        np.testing.assert_allclose(out, expected, atol=3e-6 * np.abs(expected).max())


def test_a_token_s_embedding_is_read_from_the_packed_matrix(kernels: ctypes.CDLL) -> None:
    for kind in EXACT:
        packed = pack(tensor(kind))
        matrix = matrix_struct(packed)
        row = np.empty(512, np.float32)
        for output in (0, 13, 43):
            kernels.dequantise_output(ctypes.byref(matrix), output, ctypes.c_void_p(row.ctypes.data))
            np.testing.assert_allclose(row, unpacked(packed)[output], rtol=2e-7, atol=1e-9)


def test_kernels_that_cannot_be_compiled_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vision.errors import KernelsUnavailable

    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(KernelsUnavailable, match="compiler_missing"):
        load_kernels(tmp_path)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(KernelsUnavailable, match="kernels_not_compiled: compiler=false"):
        load_kernels(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "a failed build leaves nothing behind"


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K"])
@pytest.mark.parametrize("rows", [1, 7, 16, 21])
def test_512_bit_registers_give_the_same_bits_as_256(kind: str, rows: int) -> None:
    if "vnni512" not in runnable_paths():
        pytest.skip("no AVX-512 VNNI here")
    packed = pack(tensor(kind, outputs=40))  # five groups: two pairs and one alone
    matrix = matrix_struct(packed)
    x = np.random.default_rng(rows).standard_normal((rows, 512)).astype(np.float32)
    outputs = []
    for path in ("vnni512", "vnni"):
        kernels = load_kernels(home() / "converted", path)
        quantised_rows, memory, _ = quantised(kernels, x)
        out = np.zeros((rows, packed.outputs), np.float32)
        kernels.matmul_groups(
            ctypes.byref(matrix), ctypes.byref(quantised_rows), ctypes.c_void_p(out.ctypes.data), packed.outputs, 0, 5
        )
        outputs.append(out)
        assert memory.size
    np.testing.assert_array_equal(*outputs)
    assert np.abs(outputs[0]).max() > 0
