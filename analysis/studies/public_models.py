"""Export Jacobians of public PyTorch models at their default sizes; check their kernels by plain autograd.

    python analysis/studies/public_models.py --code /tmp/zoo -o results.json
    python analysis/studies/public_models.py --code /tmp/zoo --only hashnerf,dvgo --samples 64
    python analysis/studies/public_models.py --own -o own.json          # n = 1024, needs no code of others
    python analysis/studies/public_models.py --code /tmp/zoo --small --samples 4    # does everything build?
    python analysis/studies/public_models.py --code /tmp/zoo --forward  # forward and backward only

Each model has a process of its own, with a limit on memory and on time; what fails is listed with its last
line. The kernel of a few samples is compared with that of gradients of the model in double precision, one
sample and output at a time, kept as their nonzeros; two models compute in single precision whatever they are
given, and are exported and checked in it.

The folder named by --code holds, of these repositories of GitHub, the Python files under the paths named:

    yashbhalgat/HashNeRF-pytorch   *.py              sxyu/svox2                       svox2
    nerfstudio-project/nerfstudio  nerfstudio        nv-tlabs/nglod                   sdf-net/lib
    ashawkey/torch-ngp             *.py, nerf, gridencoder
    sarafridov/K-Planes            plenoxels         lucidrains/siren-pytorch         siren_pytorch
    apchenstu/TensoRF              models            vsitzmann/siren                  *.py, torchmeta
    NVlabs/eg3d                    eg3d              facebookresearch/DeepSDF         networks
    sunset1995/DirectVoxGO         lib               Totoro97/NeuS                    models
    vishwa91/wire                  modules           yandex-research/rtdl-revisiting-models   package
    yenchenlin/nerf-pytorch        *.py              jmclong/random-fourier-features-pytorch  rff

each in a folder of the repository's name; and `site`, made by
`pip install --no-deps --target site gpytorch linear_operator jaxtyping`.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import own_fields
import public_fields
import torch
from tables import markdown
from torch import Tensor, nn

import ntkspec
from ntkspec.export import RunExporter

MODELS = {**public_fields.MODELS, **own_fields.MODELS}
ANALYZED = ("hashnerf", "own_hash_1")
HEAD = ["model", "used by", "size", "parameters", "n", "c", "MB", "export s", "blocks", "error", "analyze s"]


def main() -> None:
    """Measure what was asked for, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--code", type=Path, default=Path("zoo"), help="folder of checkouts")
    parser.add_argument("--only", default="", help="names, with commas between; default: all")
    parser.add_argument("--own", action="store_true", help="our own models, not public ones")
    parser.add_argument("--samples", type=int, help="default: 256, and 1024 for our own")
    parser.add_argument("--check", type=int, default=8, help="samples checked by autograd")
    parser.add_argument("--analyze", default=",".join(ANALYZED), help="names whose run file is analysed too")
    parser.add_argument("--repeat", type=int, default=1, help="exports, of which the median is taken")
    parser.add_argument("--small", action="store_true", help="small models")
    parser.add_argument("--forward", action="store_true", help="no export: a forward and a backward pass")
    parser.add_argument("--memory", type=float, default=12.0, help="GiB of address space a process may take")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds a model may take")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.samples is None:
        options.samples = 1024 if options.own else 256
    if options.child:
        Path(options.output).write_text(json.dumps(measure(options.child, options)))
        return
    names = options.only.split(",") if options.only else own_fields.MODELS if options.own else None
    results = []
    for name in names or public_fields.MODELS:
        results.append(in_child(name, options))
        print(results[-1], file=sys.stderr, flush=True)
        if options.output:
            options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


def in_child(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one model in a process of its own; one that fails has an "error"."""
    limit = int(options.memory * 2**30)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        command = [sys.executable, __file__, *sys.argv[1:], "--samples", str(options.samples)]
        command += ["--child", name, "--output", str(found)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=options.timeout,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
            )
        except subprocess.TimeoutExpired:
            return {"model": name, "failed": f"not done in {options.timeout:g} s"}
        if done.returncode or not found.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return {"model": name, "failed": lines[-1] if lines else f"ended with {done.returncode}"}
        return {"model": name, **json.loads(found.read_text())}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Build, export, check and perhaps analyse one model."""
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    built = MODELS[name](options.code, options.small)
    draws = torch.rand(options.samples, built.dimensions, generator=torch.Generator().manual_seed(1))
    x = built.low + (built.high - built.low) * draws.to(getattr(torch, built.precision))
    model = in_precision(built.model, x.dtype).eval()
    with torch.no_grad():
        outputs = model(x[:2]).shape[1]
    found: dict[str, Any] = {
        "used_by": built.operation,
        "size": built.size,
        "tables": built.start,
        "precision": built.precision,
        "parameters": sum(p.numel() * (2 if p.is_complex() else 1) for p in trained(model)),
        "samples": len(x),
        "outputs": outputs,
    }
    checked = np.unique(np.linspace(0, len(x) - 1, min(options.check, len(x))).round().astype(np.int64))
    if options.forward:
        rows = gradients(model, x[checked[:1]])
        return {**found, "nonzeros": [len(indices) for indices, _ in rows[0]]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.h5")
        seconds = []
        for _ in range(options.repeat):
            start = time.perf_counter()
            with RunExporter(path, inputs=x, label=name, precision=built.precision, overwrite=True) as run:
                summary = run.snapshot(model, step=0, label="init")
            seconds.append(time.perf_counter() - start)
        found["export_seconds"] = statistics.median(seconds)
        found["peak_GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        found["bytes"] = path.stat().st_size
        found["left_out"] = dict(summary.left_out)
        found["why_dense"] = dict(summary.dense)
        with ntkspec.open_run(path) as opened:
            jacobian = opened.snapshot("init").jacobian
            found["blocks"] = [[block.name, block.role, kind(block)] for block in jacobian]
            kernel = ntkspec.gram(jacobian.rows(checked))
        reference = by_autograd(model, x[checked])
        found["error"] = float(abs(kernel - reference).max() / abs(reference).max())
        if name in options.analyze.split(","):
            start = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "ntkspec.analyze",
                str(path),
                "-q",
                "-o",
                str(Path(folder, "report")),
            ]
            subprocess.run(command, check=True)
            found["analyze_seconds"] = time.perf_counter() - start
    return found


def in_precision(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert parameters, buffers and tensors that modules keep, alone or in a tuple or list, in place."""
    to = {False: dtype, True: torch.complex128 if dtype == torch.float64 else torch.complex64}

    def cast(tensor: Tensor) -> Tensor:
        return (
            tensor.to(to[tensor.is_complex()])
            if tensor.dtype.is_floating_point or tensor.is_complex()
            else tensor
        )

    model._apply(cast)  # type: ignore[no-untyped-call]  # unlike .to(dtype), it converts complex parameters
    for module in model.modules():
        for value in vars(module).values():
            for tensor in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(tensor, Tensor) and tensor.is_leaf:
                    tensor.data = cast(tensor.data)
    return model


def trained(model: nn.Module) -> list[nn.Parameter]:
    """List the parameters that have gradients."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def gradients(model: nn.Module, x: Tensor) -> list[list[tuple[Tensor, Tensor]]]:
    """Take the gradient of each output at each sample, alone in its batch: sorted indices and nonzeros."""
    parameters = trained(model)
    rows: list[list[tuple[Tensor, Tensor]]] = []
    for one in x[:, None]:
        outputs = model(one)[0]
        rows.append([])
        for output in outputs:
            grads = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
            indices, values, offset = [], [], 0
            for parameter, grad in zip(parameters, grads, strict=True):
                if grad is not None:
                    flat = (torch.view_as_real(grad) if grad.is_complex() else grad).flatten()
                    places = flat.nonzero()[:, 0]
                    indices.append(places + offset)
                    values.append(flat[places].double())
                offset += parameter.numel() * (2 if parameter.is_complex() else 1)
            rows[-1].append((torch.cat(indices), torch.cat(values)))
    return rows


def by_autograd(model: nn.Module, x: Tensor) -> np.ndarray[Any, Any]:
    """Form the kernel, traced over outputs, from products of sparse gradients."""
    rows = gradients(model, x)
    kernel = np.zeros((len(x), len(x)))
    for i, j in np.ndindex(kernel.shape):
        for (places, values), (others, factors) in zip(rows[i], rows[j], strict=True):
            _, here, there = np.intersect1d(places, others, assume_unique=True, return_indices=True)
            kernel[i, j] += float(np.dot(values.numpy()[here], factors.numpy()[there]))
    return kernel


def kind(block: ntkspec.Block) -> str:
    """Tell whether a block is stored as dense rows, as sparse ones, or as two factors."""
    names = [type(factor).__name__.removesuffix("Factor").lower() for factor in block.factors]
    stored = [name for name in names if name != "ones"]
    return (
        "factors"
        if len(stored) == 2 and "sparse" not in stored
        else "sparse"
        if "sparse" in stored
        else stored[0]
    )


def table(results: list[dict[str, Any]]) -> str:
    """Lay results out in Markdown, failures in lines below."""
    rows = [_row(result) for result in results if "failed" not in result]
    failures = [f"- {result['model']}: {result['failed']}" for result in results if "failed" in result]
    return "\n".join([markdown(HEAD, rows), "", *failures])


def _row(result: dict[str, Any]) -> list[str]:
    counts: dict[str, int] = {}
    for _, role, stored in result.get("blocks", []):
        counts[f"{role} {stored}"] = counts.get(f"{role} {stored}", 0) + 1
    blocks = ", ".join(f"{count} {what}" for what, count in counts.items())
    measured = [result.get("bytes", math.nan) / 1e6, result.get("export_seconds", math.nan)]
    head = [result["model"], result["used_by"], result["size"], f"{result['parameters']:,}"]
    error, seconds = result.get("error"), result.get("analyze_seconds")
    return [
        *head,
        str(result["samples"]),
        str(result["outputs"]),
        *(f"{value:.3g}" for value in measured),
        blocks,
        "" if error is None else f"{error:.0e}",
        "" if seconds is None else f"{seconds:.1f}",
    ]


if __name__ == "__main__":
    main()
