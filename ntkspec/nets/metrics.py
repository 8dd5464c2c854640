"""Metrics of a picture against the true one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ntkspec.extras import needs_torch
from ntkspec.qualities import MS_SSIM, PSNR, stored

with needs_torch("ntkspec.nets.metrics"):
    import torch
    from skimage.metrics import peak_signal_noise_ratio
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

MS_SSIM_SIDE = (
    176  # the smallest that torchmetrics takes: a sixteenth of it must exceed 10, the window less one
)


def picture_metrics(
    truth: NDArray[np.floating], picture: NDArray[np.floating], device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Compute PSNR in dB, and MS-SSIM (Wang et al. 2003) where both sides have at least 176 pixels.

    Args:
        truth: (H, W, c) in [0, 1].
        picture: the same shape; clipped to [0, 1].
        device: where MS-SSIM, most of the work, is computed.

    Returns:
        "psnr_db", or "psnr_db_infinite" of 1 if the pictures are equal; and "ms_ssim".
    """
    metrics = psnr(truth, picture)
    if min(truth.shape[:2]) >= MS_SSIM_SIDE:
        metrics[MS_SSIM.name] = _ms_ssim(_double(truth), _double(picture).clip(0, 1), device)
    return metrics


def psnr(
    truth: NDArray[np.floating], values: NDArray[np.floating], name: str = PSNR.name
) -> dict[str, float]:
    """Compute the PSNR in dB of values in [0, 1], of any shape; its flag of 1 if they equal the truth.

    Args:
        truth: in [0, 1].
        values: the same shape; clipped to [0, 1].
        name: of the metric.
    """
    true, clipped = _double(truth), _double(values).clip(0, 1)
    if np.array_equal(true, clipped):
        return stored({name: math.inf})
    return {name: float(peak_signal_noise_ratio(true, clipped, data_range=1))}  # type: ignore[no-untyped-call]  # untyped there


def _double(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _ms_ssim(truth: NDArray[np.float64], picture: NDArray[np.float64], device: torch.device | str) -> float:
    # Single precision is enough for the digits that are shown.
    images = (
        torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)).to(device)
        for image in (picture, truth)
    )
    drawn, true = images
    similarity = multiscale_structural_similarity_index_measure(drawn, true, data_range=1.0)
    assert isinstance(similarity, torch.Tensor)
    return float(similarity)
