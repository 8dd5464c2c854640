"""Build public PyTorch models from checked-out repositories, as maps (n, d) -> (n, c).

None of their code is here: it is imported from the folder that `public_models.py --code` names. What a model
imports and no CPU has is stood in for. View directions are fixed, encoded as 16 or 27 numbers of our own;
tables that start at zero or within 1e-3 of it are filled from normal(0, 0.1), so that gradients flow.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor, nn

FILLED = "normal(0, 0.1)"
DIRECTION = (0.36, 0.48, 0.8)


@dataclass(frozen=True)
class Built:
    """A model, the box its inputs are drawn from, and what a reader should know of it."""

    model: nn.Module
    operation: str  # by which the bulk of its parameters is used
    size: str
    dimensions: int = 3
    low: float = -1.0
    high: float = 1.0
    start: str = "theirs"  # values of the tables
    precision: Literal["float64", "float32"] = "float64"


class Field(nn.Module):
    """Call modules, parameters and constants by one function of them and the inputs."""

    def __init__(self, call: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.call = call
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, d) to (n, c)."""
        return self.call(self, x)


def load(root: Path, module: str, stubs: str = "", **given: Any) -> Any:
    """Import a module of a checkout, with stand-ins for what `stubs` and `given` name, and "cuda" read "cpu".

    A process imports of one checkout only: nothing is undone.

    Raises:
        FileNotFoundError: the checkout is not there.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: expected a checkout, got none; see the list in public_models.py")
    sys.path.insert(0, str(root))
    sys.modules.update({name: MagicMock(name=name) for name in stubs.split()})
    for name, parts in given.items():
        stand_in = ModuleType(name)
        stand_in.__dict__.update(parts)
        sys.modules[name] = stand_in
    tensor = torch.tensor
    on_cpu = patch("torch.tensor", lambda *values, device=None, **rest: tensor(*values, **rest))
    with on_cpu, patch("torch.utils.cpp_extension.load", MagicMock(), create=True):
        return importlib.import_module(module)


def fill(*tables: Tensor) -> None:
    """Draw tables from normal(0, 0.1)."""
    for table in tables:
        nn.init.normal_(table, std=0.1)


def beside(encoded: Tensor, x: Tensor) -> Tensor:
    """Repeat a fixed encoded direction for each sample."""
    return encoded.expand(len(x), -1)


def encoded_direction(numbers: int = 16) -> Tensor:
    """Return that many numbers that stand for an encoded view direction."""
    return torch.cos(torch.arange(float(numbers)))


def mlp(*widths: int, bias: bool = True, last: nn.Module | None = None) -> nn.Sequential:
    """Stack Linear and ReLU."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1], *([last] if last else []))


def hashnerf(code: Path, small: bool) -> Built:
    """HashNeRF-pytorch: a table of nn.Embedding a level, and its NeRFSmall."""
    helpers = load(code / "HashNeRF-pytorch", "run_nerf_helpers", "kornia cv2 tqdm")
    box = (torch.full((3,), -1.5), torch.full((3,), 1.5))
    levels, bits = (2, 6) if small else (16, 19)
    embed = helpers.HashEmbedder(bounding_box=box, n_levels=levels, log2_hashmap_size=bits)
    net = helpers.NeRFSmall(2, 64, 15, 3, 64, input_ch=2 * levels, input_ch_views=16)
    fill(*embed.parameters())
    model = Field(
        lambda f, x: f.net(torch.cat([f.embed(x)[0], beside(f.view, x)], -1)),
        embed=embed,
        net=net,
        view=encoded_direction(),
    )
    return Built(model, "nn.Embedding", f"{levels} x 2^{bits} x 2", low=-1.5, high=1.5, start=FILLED)


def nerfstudio(code: Path, small: bool) -> Built:
    """nerfstudio: nerfacto's base and colour MLPs, hash table by implementation="torch"."""
    stubs = "jaxtyping nerfstudio.data nerfstudio.data.scene_box tinycudann"
    theirs = load(code / "nerfstudio", "nerfstudio.field_components.mlp", stubs)
    levels, bits = (2, 6) if small else (16, 19)
    base = theirs.MLPWithHashEncoding(
        levels, 16, 2048, bits, 2, num_layers=2, layer_width=64, out_dim=16, implementation="torch"
    )
    head = theirs.MLP(31, 3, 64, 3, activation=nn.ReLU(), out_activation=nn.Sigmoid(), implementation="torch")
    fill(*(values for name, values in base.named_parameters() if "hash_table" in name))

    def call(f: Any, x: Tensor) -> Tensor:
        h = f.base(x)
        return torch.cat([h[:, :1].exp(), f.head(torch.cat([beside(f.view, x), h[:, 1:]], -1))], -1)

    model = Field(call, base=base, head=head, view=encoded_direction())
    return Built(model, "one table, indexed 8 times", f"({levels} 2^{bits}) x 2", low=0.0, start=FILLED)


def torch_ngp(code: Path, small: bool) -> Built:
    """torch-ngp: its NeRFNetwork and autograd.Function; our backend in torch in place of its CUDA kernels."""
    kernels = {"grid_encode_forward": _ngp_forward, "grid_encode_backward": _ngp_backward}
    directions = {"SHEncoder": lambda **_: Field(lambda f, x: x, output_dim=16)}
    stubs = "raymarching nerf.utils"
    nerf = load(code / "torch-ngp", "nerf.network", stubs, _gridencoder=kernels, shencoder=directions)
    options = {"log2_hashmap_size": 6, "num_levels": 2} if small else {}
    get = nerf.get_encoder
    with patch.object(nerf, "get_encoder", lambda kind, **rest: get(kind, **rest, **options)):
        net = nerf.NeRFNetwork(bound=1)
    fill(net.encoder.embeddings)

    def call(f: Any, x: Tensor) -> Tensor:
        density, colour = f.net(x, beside(f.view, x))
        return torch.cat([density[:, None], colour], -1)

    shape = " x ".join(map(str, net.encoder.embeddings.shape))
    return Built(Field(call, net=net, view=encoded_direction()), "autograd.Function", shape, start=FILLED)


def _ngp_cells(x: Tensor, offsets: Tensor, scale: float, base: int, level: int) -> tuple[Tensor, Tensor]:
    """Find the rows (n, 8) that a level of a hash grid reads, and their trilinear weights."""
    size, steps = int(offsets[level + 1] - offsets[level]), 2 ** (level * scale) * base - 1
    at = x * steps + 0.5
    corner = at.floor()
    places, weights = [], []
    for bits in range(8):
        ahead = torch.tensor([bits >> axis & 1 for axis in range(3)])
        spot = corner.long() + ahead
        side = int(torch.tensor(steps).ceil()) + 2
        dense = spot[:, 0] + side * (spot[:, 1] + side * spot[:, 2])
        hashed = spot[:, 0] ^ spot[:, 1] * 2654435761 ^ spot[:, 2] * 805459861
        places.append((dense if side**3 <= size else hashed) % size + offsets[level])
        weights.append(torch.where(ahead.bool(), at - corner, 1 - at + corner).prod(-1))
    return torch.stack(places, 1), torch.stack(weights, 1)


def _ngp_forward(x: Tensor, table: Tensor, offsets: Tensor, outputs: Tensor, *sizes: Any) -> None:
    for level in range(sizes[3]):
        rows, weights = _ngp_cells(x, offsets, sizes[4], sizes[5], level)
        outputs[level] = (table[rows] * weights[..., None]).sum(1)


def _ngp_backward(
    grad: Tensor, x: Tensor, table: Tensor, offsets: Tensor, grad_table: Tensor, *sizes: Any
) -> None:
    for level in range(sizes[3]):
        rows, weights = _ngp_cells(x, offsets, sizes[4], sizes[5], level)
        grad_table.index_add_(0, rows.flatten(), (grad[level][:, None] * weights[..., None]).flatten(0, 1))


def k_planes(code: Path, small: bool) -> Built:
    """K-Planes, hybrid, of its NeRF configuration; plain Linear layers in place of tinycudann's."""

    def network(n_input_dims: int, n_output_dims: int, network_config: dict[str, Any]) -> nn.Module:
        hidden = [network_config["n_neurons"]] * network_config["n_hidden_layers"]
        last = nn.Sigmoid() if network_config["output_activation"] == "Sigmoid" else None
        return mlp(n_input_dims, *hidden, n_output_dims, bias=False, last=last)

    def encoding(**_: Any) -> nn.Module:
        return Field(lambda f, x: beside(f.view, x), view=encoded_direction(), n_output_dims=16)

    tcnn = {"Network": network, "Encoding": encoding}
    theirs = load(code / "K-Planes", "plenoxels.models.kplane_field", tinycudann=tcnn)
    activation = importlib.import_module("plenoxels.ops.activations").init_density_activation("trunc_exp")
    side, features = (4, 2) if small else (128, 32)
    config: dict[str, Any] = {"grid_dimensions": 2, "input_coordinate_dim": 3, "resolution": [side] * 3}
    config["output_coordinate_dim"] = features
    box = torch.tensor([[-1.3] * 3, [1.3] * 3])
    net = theirs.KPlaneField(box, [config], True, [1, 2, 4], False, 0, None, activation, False, None, None)

    def call(f: Any, x: Tensor) -> Tensor:
        out = f.net(x[:, None], f.towards.expand(len(x), 3))
        return torch.cat([out["density"], out["rgb"]], -1)[:, 0]

    size = f"3 planes of {features} x {side}^2, {2 * side}^2 and {4 * side}^2"
    model = Field(call, net=net, towards=torch.tensor([DIRECTION]))
    return Built(model, "grid_sample 2-D, products", size, low=-1.3, high=1.3)


def tensorf(code: Path, small: bool) -> Built:
    """TensoRF: VM decomposition of lego.txt at its final resolution."""
    theirs = load(code / "TensoRF", "models.tensoRF")
    side, box = 6 if small else 300, torch.tensor([[-1.5] * 3, [1.5] * 3])
    options = {"density_n_comp": [16] * 3, "appearance_n_comp": [48] * 3, "app_dim": 27, "view_pe": 2}
    with patch("builtins.print"):
        net = theirs.TensorVMSplit(
            box, [side] * 3, torch.device("cpu"), shadingMode="MLP_Fea", fea_pe=2, **options
        )

    def call(f: Any, x: Tensor) -> Tensor:
        at = f.net.normalize_coord(x)
        density = f.net.feature2density(f.net.compute_densityfeature(at))
        colour = f.net.renderModule(at, f.towards.expand(len(x), 3), f.net.compute_appfeature(at))
        return torch.cat([density[:, None], colour], -1)

    model = Field(call, net=net, towards=torch.tensor([DIRECTION]))
    size = f"(16 + 48) x {side}^2 planes and lines of {side}"
    return Built(model, "grid_sample 2-D, products", size, low=-1.5, high=1.5)


def eg3d(code: Path, small: bool) -> Built:
    """EG3D: sample_from_planes with the planes as a parameter, OSGDecoder; single precision is built in."""
    theirs = load(code / "eg3d" / "eg3d", "training.triplane", "requests")
    render = importlib.import_module("training.volumetric_rendering.renderer")
    side = 8 if small else 256
    planes = nn.Parameter(torch.randn(1, 3, 32, side, side))
    decoder = theirs.OSGDecoder(32, {"decoder_lr_mul": 1, "decoder_output_dim": 32})

    def call(f: Any, x: Tensor) -> Tensor:
        out = f.decoder(render.sample_from_planes(f.axes, f.planes, x[None], box_warp=2.0), None)
        return torch.cat([out["sigma"], out["rgb"][..., :3]], -1)[0]

    model = Field(call, planes=planes, decoder=decoder, axes=render.generate_planes())
    start = "normal(0, 1), for those of its generator"
    return Built(model, "grid_sample 2-D, mean", f"3 x 32 x {side}^2", start=start, precision="float32")


def dvgo(code: Path, small: bool) -> Built:
    """DirectVoxGO: grids and MLP of its fine stage."""
    theirs = load(code / "DirectVoxGO", "lib.dvgo", "torch_scatter")
    voxels = 8**3 if small else 160**3
    sizes = {"num_voxels": voxels, "num_voxels_base": voxels, "rgbnet_dim": 12, "alpha_init": 1e-2}
    with patch("builtins.print"):
        net = theirs.DirectVoxGO([-1.05] * 3, [1.05] * 3, rgbnet_direct=True, **sizes)
    fill(net.density.grid, net.k0.grid)

    def call(f: Any, x: Tensor) -> Tensor:
        density = nn.functional.softplus(f.net.density(x) + f.net.act_shift)
        colour = f.net.rgbnet(torch.cat([f.net.k0(x), beside(f.view, x)], -1)).sigmoid()
        return torch.cat([density[:, None], colour], -1)

    model = Field(call, net=net, view=encoded_direction(27))
    size = "{} x {} x {} x (1 + 12)".format(*net.world_size.tolist())
    return Built(model, "grid_sample 3-D", size, low=-1.05, high=1.05, start=FILLED)


def plenoxels(code: Path, small: bool) -> Built:
    """svox2: its SparseGrid inside a sphere, by PyTorch; single precision is built in."""
    side = 6 if small else 128
    theirs = load(code / "svox2", "svox2.svox2", "tqdm svox2.csrc")
    grid = theirs.SparseGrid(side, use_sphere_bound=True)
    fill(grid.density_data, grid.sh_data)

    def call(f: Any, x: Tensor) -> Tensor:
        density, harmonics = f.grid.sample(x, use_kernel=False)
        colour = (harmonics.unflatten(-1, (3, 9)) * f.view).sum(-1)
        return torch.cat([density, colour], -1)

    size = f"{side}^3 in a sphere, {grid.capacity} x (1 + 27)"
    model = Field(call, grid=grid, view=encoded_direction(9))
    return Built(model, "masked indexing", size, start=FILLED, precision="float32")


def nglod(code: Path, small: bool) -> Built:
    """NGLOD: OctreeSDF with five levels of detail, all of whose distances are outputs."""
    stubs = "lib.models.SOL_NGLOD lib.models.OverfitSDF"
    theirs = load(code / "nglod" / "sdf-net", "lib.models.OctreeSDF", stubs)
    levels = 2 if small else 5
    sizes = {"feature_dim": 32, "feature_size": 4, "hidden_dim": 128, "num_lods": levels, "base_lod": 2}
    rest = {"pos_invariant": False, "pos_enc": False, "ff_dim": -1, "ff_width": 16.0, "interpolate": None}
    net = theirs.OctreeSDF(SimpleNamespace(**sizes, **rest, joint_decoder=False))
    model = Field(lambda f, x: torch.cat(f.net.sdf(x, return_lst=True), -1), net=net)
    sides = ", ".join(str(2 ** (2 + level) + 1) for level in range(levels))
    return Built(model, "grid_sample 3-D, sums", f"32 x s^3, s = {sides}")


def siren_lucidrains(code: Path, small: bool) -> Built:
    """siren-pytorch: F.linear on parameters of its own."""
    theirs = load(code / "siren-pytorch", "siren_pytorch.siren_pytorch", "einops")
    width = 8 if small else 256
    return Built(theirs.SirenNet(2, width, 3, 5), "F.linear", f"5 x {width}", 2)


def siren_vsitzmann(code: Path, small: bool) -> Built:
    """The authors' SIREN: BatchLinear multiplies by matmul, in meta modules."""
    theirs = load(
        code / "siren", "modules", "torchmeta.datasets torchmeta.toy torchmeta.transforms torchmeta.utils"
    )
    width = 8 if small else 256
    with patch("builtins.print"), patch("torch.Tensor.cuda", lambda tensor: tensor):
        net = theirs.SingleBVPNet(3, type="sine", hidden_features=width, sidelength=(256, 256))
    return Built(Field(lambda f, x: f.net({"coords": x})["model_out"], net=net), "matmul", f"4 x {width}", 2)


def deepsdf(code: Path, small: bool) -> Built:
    """DeepSDF: decoder of the sofas, weight norm, one fixed code."""
    theirs = load(code / "DeepSDF", "networks.deep_sdf_decoder")
    width, latent, layers = (16, 4, list(range(8))) if small else (512, 256, list(range(8)))
    net = theirs.Decoder(latent, [width] * 8, layers, 0.2, layers, (4,), weight_norm=True, xyz_in_all=False)
    model = Field(
        lambda f, x: f.net(torch.cat([beside(f.latent, x), x], -1)),
        net=net,
        latent=torch.randn(latent) / latent**0.5,
    )
    return Built(model, "nn.Linear, weight norm", f"8 x {width}, code of {latent}")


def neus(code: Path, small: bool) -> Built:
    """NeuS: SDFNetwork of womask.conf, its distance."""
    theirs = load(code / "NeuS", "models.fields")
    width = 64 if small else 256
    net = theirs.SDFNetwork(3, width + 1, width, 8, [4], 6, 0.5, 1.0, True, True)
    return Built(Field(lambda f, x: f.net.sdf(x), net=net), "nn.Linear, weight norm", f"8 x {width}")


def wire(code: Path, small: bool) -> Built:
    """WIRE: complex Gabor wavelets, as for denoising pictures."""
    theirs = load(code / "wire", "modules.wire", "tqdm")
    width = 8 if small else 256
    net = theirs.INR(2, width, 2, 3, first_omega_0=5.0, hidden_omega_0=5.0, scale=5.0)
    return Built(net, "nn.Linear, complex", f"3 x {int(width / 2**0.5)}, complex", 2)


def ft_transformer(code: Path, small: bool) -> Built:
    """FT-Transformer (rtdl) of three blocks, on eight continuous features."""
    theirs = load(code / "rtdl-revisiting-models" / "package", "rtdl_revisiting_models")
    options = theirs.FTTransformer.get_default_kwargs(1 if small else 3)
    net = theirs.FTTransformer(n_cont_features=8, cat_cardinalities=[], d_out=1, **options)
    model = Field(lambda f, x: f.net(x, None), net=net)
    return Built(model, "nn.Linear on tokens", f"{options['n_blocks']} blocks of {options['d_block']}", 8)


def nerf(code: Path, small: bool) -> Built:
    """nerf-pytorch: the vanilla NeRF."""
    theirs = load(code / "nerf-pytorch", "run_nerf_helpers")
    width = 16 if small else 256
    embed, channels = theirs.get_embedder(10)
    net = theirs.NeRF(8, width, channels, 27, use_viewdirs=True)
    model = Field(
        lambda f, x: f.net(torch.cat([embed(x), beside(f.view, x)], -1)), net=net, view=encoded_direction(27)
    )
    return Built(model, "nn.Linear", f"8 x {width}")


def fourier_features(code: Path, small: bool) -> Built:
    """random-fourier-features-pytorch: Gaussian encoding before an MLP as by Tancik et al."""
    theirs = load(code / "random-fourier-features-pytorch", "rff", "torchvision torchvision.io")
    width = 8 if small else 256
    encode = theirs.layers.GaussianEncoding(sigma=10.0, input_size=2, encoded_size=width)
    net = mlp(2 * width, width, width, width, 3, last=nn.Sigmoid())
    return Built(nn.Sequential(encode, net), "nn.Linear", f"{2 * width} features, 3 x {width}", 2, 0.0)


def gpytorch(code: Path, small: bool) -> Built:
    """GPyTorch: mean of a deep-kernel variational process of 64 points, on features of its DKL example."""
    theirs = load(code / "site", "gpytorch")
    widths = (8, 16, 2) if small else (8, 1000, 500, 50, 2)
    features, points = mlp(*widths), 8 if small else 64

    def start(process: Any) -> None:
        spread = theirs.variational.CholeskyVariationalDistribution(points)
        nn.init.normal_(spread.variational_mean)
        strategy = theirs.variational.VariationalStrategy(process, torch.randn(points, 2) / 2, spread)
        theirs.models.ApproximateGP.__init__(process, strategy)
        process.mean_module = theirs.means.ConstantMean()
        process.covar_module = theirs.kernels.ScaleKernel(theirs.kernels.RBFKernel())

    def prior(process: Any, x: Tensor) -> Any:
        return theirs.distributions.MultivariateNormal(process.mean_module(x), process.covar_module(x))

    process = type("Process", (theirs.models.ApproximateGP,), {"__init__": start, "forward": prior})()

    def call(f: Any, x: Tensor) -> Tensor:
        f.process.train(f.training)
        mean: Tensor = f.process(f.features(x)).mean
        return mean[:, None]

    model = Field(call, features=features, process=process)
    return Built(model, "nn.Linear, kernel", " - ".join(map(str, widths)), 8)


PUBLIC = [hashnerf, nerfstudio, torch_ngp, k_planes, tensorf, eg3d, dvgo, plenoxels, nglod]
PUBLIC += [siren_lucidrains, siren_vsitzmann, deepsdf, neus, wire, ft_transformer, nerf, fourier_features]
PUBLIC += [gpytorch]
MODELS: dict[str, Callable[[Path, bool], Built]] = {build.__name__: build for build in PUBLIC}
