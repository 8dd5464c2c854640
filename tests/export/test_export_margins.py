"""Samples that rounding could have put into another region are regions of their own.

A network in single precision is compared with itself in double: where no sample is called uncertain, every
activation must be on the same piece in both. Samples are sought on both sides of kinks, one float apart.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from test_export_regions import ACTIVATIONS
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves, tree_map_only

from ntkspec.export import jacobian
from ntkspec.export.regions.margins import Margins
from ntkspec.export.regions.operations import Call
from ntkspec.export.regions.trace import Trace
from ntkspec.nets.mlp import MLP

torch.set_num_threads(1)
WIDTH = 6


class Net(nn.Module):
    """Two layers with an activation however it is written, and a third."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)
        self.activation = activation

    def forward(self, x):
        return self.last(self.activation(self.second(self.activation(self.first(x)))))


def traced(model, x):
    """The pieces (n, bytes) of each sample, and whether it is uncertain."""
    with torch.no_grad():
        parameters, own = list(model.parameters()), x.clone()
        trace = Trace(own, parameters, parameters)
        trace.follow(model, own)
    assert trace.known
    return np.concatenate(trace.bits, axis=1), trace.uncertain


def beside_kinks(model, seed, count=40):
    """(2 count, 2) float32 samples in pairs, next to each other and on different pieces where that can be."""
    rng = np.random.default_rng(seed)
    low, high = (torch.tensor(rng.uniform(-2, 2, (count, 2)), dtype=torch.float32) for _ in range(2))
    for _ in range(40):
        middle = (low + high) / 2
        same = (traced(model, low)[0] == traced(model, middle)[0]).all(axis=1)
        low[same], high[~same] = middle[same], middle[~same]
    return torch.cat([low, high])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_certain_samples_are_on_the_pieces_of_double_precision(name):
    torch.manual_seed(len(name))
    activation, _ = ACTIVATIONS[name]
    single = Net(activation)
    double = Net(activation).double()
    double.load_state_dict(single.state_dict())
    x = beside_kinks(single, seed=1)
    pieces, uncertain = traced(single, x)
    exact, _ = traced(double, x.double())
    differ = (pieces != exact).any(axis=1)
    assert not (differ & ~uncertain).any()
    assert uncertain.mean() > 0.5  # they are all but on a kink
    assert traced(double, x.double())[1].mean() < 0.5  # where double precision sees them apart


def numbers(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))) + 0.5


aten = torch.ops.aten
MASK = torch.arange(20).reshape(5, 4) % 3 == 0
RULES = {
    "add": (aten.add.Tensor, numbers(5, 4), numbers(4)),
    "sub": (aten.sub.Tensor, numbers(5, 4), numbers(4)),
    "rsub": (aten.rsub.Scalar, numbers(5, 4), 0.5, 3.0),
    "mul": (aten.mul.Tensor, numbers(5, 4), numbers(4)),
    "div": (aten.div.Tensor, numbers(5, 4), numbers(4)),
    "mm": (aten.mm.default, numbers(5, 3), numbers(3, 4)),
    "bmm": (aten.bmm.default, numbers(2, 5, 3), numbers(2, 3, 4)),
    "addmm": (aten.addmm.default, numbers(4), numbers(5, 3), numbers(3, 4)),
    "sum": (aten.sum.dim_IntList, numbers(5, 4), [1]),
    "mean": (aten.mean.dim, numbers(5, 4), [1]),
    "amax": (aten.amax.default, numbers(5, 4), [1]),
    "amin": (aten.amin.default, numbers(5, 4), [1]),
    "leaky_relu": (aten.leaky_relu.default, -numbers(5, 4), 0.2),
    "a steep one": (aten.leaky_relu.default, -numbers(5, 4), 3.0),
    "prelu": (aten._prelu_kernel.default, -numbers(5, 4), numbers(1, 4)),
    "maximum": (aten.maximum.default, numbers(5, 4), numbers(5, 4).flip(0)),
    "minimum": (aten.minimum.default, numbers(5, 4), numbers(5, 4).flip(0)),
    "where": (aten.where.self, MASK, numbers(5, 4), numbers(4)),
    "masked_fill": (aten.masked_fill.Tensor, numbers(5, 4), MASK, numbers()),
    "copy": (aten.copy_.default, numbers(5, 4), numbers(4)),
    "clamp": (aten.clamp.Tensor, numbers(5, 4), numbers(5, 4).flip(0), None),
    "a limit that is rounded": (aten.clamp.default, numbers(5, 4), 0.8),
    "threshold": (aten.threshold.default, numbers(5, 4), 0.8, 0.3),
    "a filling that is rounded": (aten.masked_fill.Scalar, numbers(5, 4), MASK, 0.3),
    "relu": (aten.relu.default, numbers(5, 4)),
    "neg": (aten.neg.default, numbers(5, 4)),
    "abs": (aten.abs.default, -numbers(5, 4)),
    "cat": (aten.cat.default, [numbers(5, 4), numbers(5, 2)], 1),
}


@pytest.mark.parametrize("share", [0.0, 1e-3])
@pytest.mark.parametrize("name", RULES)
def test_errors_stay_within_their_bounds(name, share):
    """Of each operation in single precision, at all ends of its arguments' errors, against double."""
    operation, *arguments = RULES[name]
    margins, rng = Margins(5), torch.Generator().manual_seed(1)
    tensors = [leaf for leaf in tree_leaves(arguments) if getattr(leaf, "dtype", None) == torch.float32]
    errors = [share * tensor.abs() * torch.rand(tensor.shape, generator=rng) for tensor in tensors]
    for tensor, error in zip(tensors, errors, strict=True):
        margins.keep([tensor], error)
    bound = torch.as_tensor(margins.after(Call(operation, arguments, {}))).double()
    found = operation(*tree_map_only(torch.Tensor, torch.clone, arguments)).double()
    for signs in itertools.product((-1, 1), repeat=len(tensors)):
        moved = {
            id(tensor): tensor.double() + sign * error.double()
            for tensor, error, sign in zip(tensors, errors, signs, strict=True)
        }
        exact = operation(
            *tree_map_only(torch.Tensor, lambda leaf, moved=moved: moved.get(id(leaf), leaf), arguments)
        )
        assert ((found - exact).abs() <= bound * (1 + 1e-6)).all(), signs
    assert bound.max() < 10 * share + 1e-5


def test_samples_in_general_position_are_certain():
    torch.manual_seed(0)
    model = MLP(2, 3, 64, 1).double()
    assert not traced(model, torch.rand(2000, 2, dtype=torch.float64))[1].any()
    assert traced(model.float(), torch.rand(2000, 2))[1].mean() < 0.2


def test_an_uncertain_sample_is_alone():
    """x = 0.5 lies on the kink of a unit whose weights are no binary numbers: 0.1 * 0.5 - 0.05."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.1], [1.0]]))
        model[0].bias.copy_(torch.tensor([-0.05, 1.0]))
    found = jacobian(model, torch.tensor([[0.9], [0.5], [0.8], [0.5], [0.1], [0.2]], dtype=torch.float64))
    assert found.regions.tolist() == [0, 1, 0, 2, 3, 3]
    assert found.regions_certain


def test_what_is_exact_is_certain():
    """At x = 0 without biases every unit is exactly at its kink, and no rounding is behind it."""
    model = nn.Sequential(
        nn.Linear(2, 5, bias=False), nn.ReLU(), nn.Linear(5, 5, bias=False), nn.ReLU(), nn.Linear(5, 1)
    )
    found = jacobian(model, torch.zeros(3, 2))
    assert found.regions.tolist() == [0, 0, 0]


def test_dead_units_do_not_make_the_next_layers_uncertain():
    """ReLU after ReLU: zeros that are certainly cut off are exact, though they stand at a kink."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 16), nn.ReLU(), nn.ReLU(), nn.Linear(16, 16), nn.ReLU6(), nn.Linear(16, 1)
    )
    x = torch.rand(200, 2)
    assert traced(model.double(), x.double())[1].mean() < 0.05


class Computed(nn.Module):
    """A bias that cancels, computed from parameters: 1e8 + 1e-9 - 1e8 comes out as 0."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
        self.parts = nn.ParameterList([nn.Parameter(torch.tensor(value)) for value in (1e8, 1e-9, -1e8)])

    def forward(self, x):
        bias = self.parts[0] + self.parts[1] + self.parts[2]
        return self.last(torch.relu(self.first(x) - bias))


def test_what_is_computed_from_parameters_has_its_error_too():
    torch.manual_seed(0)
    model = Computed().double()
    with torch.no_grad():
        model.first.weight.fill_(1.0)
    found = jacobian(model, torch.tensor([[0.0], [1e-10], [1e-7], [1.0], [2.0]], dtype=torch.float64))
    assert found.regions.tolist() == [0, 1, 2, 2, 2]  # those within 1e8 eps of the kink stand alone


BENT = {  # by a number that is 0.25 + 1e-9, and comes out as 0.25
    "prelu": lambda z, number: functional.prelu(z, number[None]),
    "masked_fill": lambda z, number: z.masked_fill(z < 0, -number) - z * 2.5e-10,
    "clamp": lambda z, number: z.clamp(min=-number[None]) - z * 2.5e-10,
    "where it clamps": lambda z, number: (z + 0.75 - 2.5e-9).clamp(min=-number[None]) + 0.5,
}


class Bent(nn.Module):
    """A second activation whose kink is where the first gives -0.25."""

    def __init__(self, bend):
        super().__init__()
        self.first, self.last, self.bend = nn.Linear(1, 1, bias=False), nn.Linear(1, 1), bend
        self.parts = nn.ParameterList([nn.Parameter(torch.tensor(v)) for v in (1e8, 0.25 + 1e-9, -1e8)])

    def forward(self, x):
        number = self.parts[0] + self.parts[1] + self.parts[2]
        return self.last(torch.relu(self.bend(self.first(x), number) + 0.25))


@pytest.mark.parametrize("name", BENT)
def test_so_have_slopes_limits_and_fillings_that_are_computed(name):
    model = Bent(BENT[name]).double()
    with torch.no_grad():
        model.first.weight.fill_(1.0)
    found = jacobian(model, torch.tensor([[2.0], [2e-9 - 1], [2e-9 - 1], [3.0]], dtype=torch.float64))
    assert found.regions.tolist() == [0, 1, 2, 0]  # the exact number puts them on the other side
    assert found.regions_certain


def test_weights_of_unknown_accuracy_are_not_vouched_for():
    """weight_norm divides by a norm: regions are there, by the writer, and certain of none."""
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 4)), nn.ReLU(), nn.Linear(4, 1))
    found = jacobian(model.double(), torch.rand(9, 2, dtype=torch.float64))
    assert found.regions is None or not found.regions_certain


@pytest.mark.parametrize(
    "narrow",
    [
        lambda p: (p.double() * 1.1).float(),
        lambda p: (p * 1.1).half().float(),
        lambda p: (p.double() * 1.1).sum(0, keepdim=True, dtype=torch.float32),
        lambda p: torch.zeros(4).copy_(p.double() * 1.1),
    ],
)
def test_parameters_that_lose_digits_are_not_vouched_for(narrow):
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last, self.bias = nn.Linear(2, 4), nn.Linear(4, 1), nn.Parameter(torch.rand(4))

        def forward(self, x):
            return self.last(torch.maximum(self.first(x), narrow(self.bias)))

    model, x = Cast(), torch.rand(9, 2)
    with torch.no_grad():
        trace = Trace(x, list(model.parameters()), list(model.first.parameters()))
        trace.follow(model, x)
    assert trace.known
    assert not trace.certain
