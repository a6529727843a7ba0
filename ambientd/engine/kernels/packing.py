"""A network's weights in the kernel's layout. Any thread; done once per checkpoint, shared by its voices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.emit import aligned, aligned_bytes
from ambientd.engine.kernels.matrices import COLUMNS, Format, Matrix, pad, padded, to_int16
from ambientd.engine.network import Forecast, Network, Tier
from ambientd.samplernn.forecast import FIRST_ERROR, SCALES, midpoints
from ambientd.samplernn.quantize import decode_table


class Table:
    """A look-up table [positions, levels, dim], its dim padded, in the precision's layout. scale: see `plan.py`."""

    def __init__(self, table: Floats, format: Format) -> None:
        values: NDArray[Any] = table
        scale = np.float32(0)
        if format.precision != "fp32":
            values, scale = to_int16(table)
        positions, levels, units = table.shape
        dim = padded(units)
        self._kept = aligned_bytes(positions * levels * dim * values.itemsize).view(values.dtype)
        self._kept.reshape(positions, levels, dim)[:, :, :units] = values
        self.address = int(self._kept.ctypes.data)
        self.scale = int(scale.view(np.int32))
        self.nbytes = int(self._kept.nbytes)


class PackedForecast:
    """A forecaster's rows as they are before its first sample, but for the buffers that are a voice's own."""

    def __init__(self, forecast: Forecast, format: Format) -> None:
        a = forecast.architecture
        assert a.forecast
        self.table = Table(forecast.table, format)
        levels = decode_table(a.q_levels, a.quantization)
        values = (levels, midpoints(levels), forecast.width)
        self._kept = [np.ascontiguousarray(v, np.float32) for v in values]
        self.row = np.zeros(plan.FORECASTER_FIELDS, np.int64)
        self.row[plan.STAGES] = len(a.forecast.orders)
        self.row[plan.FORECAST_TABLE], self.row[plan.FORECAST_SCALE] = self.table.address, self.table.scale
        fields = (plan.LEVEL_VALUES, plan.MIDPOINTS, plan.WIDTHS)
        self.row[list(fields)] = [values.ctypes.data for values in self._kept]
        numbers = self.row.view(np.float64)
        numbers[plan.SLOPE] = forecast.slope
        # As the reference rounds it.
        numbers[plan.FAST_ERROR] = numbers[plan.SLOW_ERROR] = np.float32(FIRST_ERROR)
        self.stages = np.zeros((len(a.forecast.orders), plan.STAGE_FIELDS), np.int64)
        self.stages[:, plan.ORDER] = a.forecast.orders
        self.stages.view(np.float64)[:, plan.RATE] = a.forecast.rates

    @property
    def bytes_read(self) -> float:
        """Of the table, for one sample."""
        return self.table.nbytes / SCALES


class PackedNetwork:
    """Owns the packed weights; `voice`, `tiers` and `layers` are plan rows with the weights' addresses filled in.

    The network itself is let go: what its voices still need of it are `context`, `h0` [tiers][layers], `forecast`.
    """

    def __init__(self, network: Network, format: Format) -> None:
        self.format = format
        self.units, self.context = network.dim, network.context
        self.dim = padded(network.dim)
        self.levels = padded(network.q_levels)
        self.h0 = [[cell.h0.copy() for cell in tier.cells] for tier in network.tiers]
        self._matrices: list[tuple[Matrix, int]] = []  # with the number of samples between two uses
        self._folded: list[Floats] = []
        tiers, cells = len(network.tiers), len(network.tiers[0].cells)
        self.voice = np.zeros(plan.VOICE_FIELDS, np.int64)
        self.tiers = np.zeros((tiers, plan.TIER_FIELDS), np.int64)
        self.layers = np.zeros((tiers, cells, plan.LAYER_FIELDS), np.int64)
        self._pack_sample_level(network)
        self.forecast = PackedForecast(network.forecast, format) if network.forecast else None
        for k, tier in enumerate(network.tiers):
            self._pack_tier(network, k, tier)
            for row, cell in zip(self.layers[k], tier.cells, strict=True):
                row[plan.AHEAD_JOB] = -1
                row[plan.MATRIX_IH] = self._matrix(cell.weight_ih, cell.bias_ih, 3, period=tier.frame_size)
                row[plan.MATRIX_HH] = self._matrix(cell.weight_hh, cell.bias_hh, 3, period=tier.frame_size)

    @property
    def nbytes(self) -> int:
        tables = [self._table] + ([self.forecast.table] if self.forecast else [])
        return sum(table.nbytes for table in tables) + sum(matrix.nbytes for matrix, _ in self._matrices)

    def bytes_read(self, hidden: Sequence[Floats]) -> float:
        """Of weights and table, for one sample of as many voices together as there are `hidden` [dim], and on average.

        hidden: what each voice's hidden units gave; the sparse output layer is read only where they are not 0.
        """
        total = len(hidden) * self._table.nbytes / self.voice[plan.LEVELS]
        if self.forecast:
            total += len(hidden) * self.forecast.bytes_read
        for matrix, period in self._matrices:
            skips = matrix.row[plan.KIND] == plan.BF16_SPARSE
            total += matrix.nbytes * (sum(np.mean(h > 0) for h in hidden) if skips else 1 / period)
        return float(total)

    def _matrix(self, weights: Floats, bias: Floats, parts: int = 1, kind: int | None = None, period: int = 1) -> int:
        """Address of [parts * R, C] packed, R padded in each part. period: samples between two uses."""
        rows, columns = padded(weights.shape[0] // parts), weights.shape[1]
        columns = padded(columns, COLUMNS) if kind == plan.FP32 else padded(columns)
        matrix = Matrix(
            pad(weights.reshape(parts, -1, weights.shape[1]), rows, columns),
            pad(bias.reshape(parts, -1, 1), rows, 1)[:, 0],
            self.format.kind if kind is None else kind,
        )
        self._matrices.append((matrix, period))
        return matrix.address

    def _pack_sample_level(self, network: Network) -> None:
        row = self.voice
        row[plan.DIM], row[plan.UNITS], row[plan.LEVELS] = self.dim, self.units, network.q_levels
        row[plan.TIERS], row[plan.LAYERS] = len(network.tiers), len(network.tiers[0].cells)
        row[plan.POSITIONS] = len(network.table)
        row[plan.QUANTIZED], row[plan.HIDDEN_QUANTIZED] = self.format.form, self.format.hidden_form
        self._table = Table(network.table, self.format)
        row[plan.TABLE], row[plan.TABLE_SCALE] = self._table.address, self._table.scale
        row[plan.HIDDEN_MATRIX] = self._matrix(network.hidden_weight, network.hidden_bias)
        output = self._matrix(network.output_weight, network.output_bias, kind=self.format.output_kind)
        row[plan.OUTPUT_MATRIX] = output

    def _pack_tier(self, network: Network, k: int, tier: Tier) -> None:
        row = self.tiers[k]
        row[plan.FRAME_SIZE], row[plan.RATIO] = tier.frame_size, tier.ratio
        row[plan.SHARED_FROM], row[plan.SHARED_JOB] = tier.ratio, -1
        row[plan.INPUT_COLUMNS] = padded(tier.frame_size, COLUMNS)
        # A lower tier's input bias is folded into the upsampling above it: its vectors arrive ready to be added.
        is_top = k + 1 == len(network.tiers)
        own = tier.input_bias if is_top else np.zeros_like(tier.input_bias)
        below = np.tile(network.tiers[k - 1].input_bias, tier.ratio) if k else np.float32(0)
        size, bias = tier.frame_size, tier.upsample_bias + below
        self._folded.append(aligned(self.dim))
        self._folded[k][: self.units] = network.tiers[k - 1].input_bias if k else 0
        row[plan.FOLDED_BIAS] = self._folded[k].ctypes.data
        row[plan.INPUT_MATRIX] = self._matrix(tier.input_weight, own, kind=plan.FP32, period=size)
        row[plan.UPSAMPLE_MATRIX] = self._matrix(tier.upsample_weight, bias, tier.ratio, period=size)
