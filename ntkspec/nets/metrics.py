"""Quality of a picture against the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

__all__ = ["MS_SSIM_SIDE", "picture_metrics"]

MS_SSIM_SIDE = (
    176  # the smallest that torchmetrics takes: a sixteenth of it must exceed 10, the window less one
)


def picture_metrics(truth: NDArray[Any], picture: NDArray[Any]) -> dict[str, float]:
    """PSNR in dB, and MS-SSIM (Wang et al. 2003) where both sides have at least 176 pixels.

    Args:
        truth: (H, W, c) in [0, 1].
        picture: the same shape; clipped to [0, 1].

    Returns:
        "psnr_db", left out if the pictures are equal (it would be infinite), and "ms_ssim".
    """
    truth = np.asarray(truth, dtype=np.float64)
    clipped = np.clip(np.asarray(picture, dtype=np.float64), 0, 1)
    metrics = {}
    if not np.array_equal(truth, clipped):
        metrics["psnr_db"] = float(peak_signal_noise_ratio(truth, clipped, data_range=1))  # type: ignore[no-untyped-call]  # untyped there
    if min(truth.shape[:2]) >= MS_SSIM_SIDE:
        metrics["ms_ssim"] = _ms_ssim(truth, clipped)
    return metrics


def _ms_ssim(truth: NDArray[np.float64], picture: NDArray[np.float64]) -> float:
    # Single precision is enough for the digits that are shown.
    images = (
        torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)) for image in (picture, truth)
    )
    drawn, true = images
    similarity = multiscale_structural_similarity_index_measure(drawn, true, data_range=1.0)
    assert isinstance(similarity, torch.Tensor)
    return float(similarity)
