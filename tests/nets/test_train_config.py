"""Options: round trips, precedence, presets, and refusals by name."""

import json
from dataclasses import fields, replace

import pytest
import torch

from ntkspec.errors import UsageError
from ntkspec.nets.build import build_model
from ntkspec.nets.config import OPTIONS, TrainConfig
from ntkspec.nets.grid import GridLevel
from ntkspec.nets.lookup import TableLookup
from ntkspec.nets.presets import PRESETS, resolve
from ntkspec.nets.sections import read_toml, unnest

VISIBLE = [option for option in OPTIONS if not option.hidden]

CONFIGS = [
    TrainConfig(),
    *(resolve({"preset": name}) for name in PRESETS),
    TrainConfig(
        label='quo"te \\ ü 中 \n',
        image="a b.png",
        encoding="multigrid",
        checkpoints=(7, 3, 3),
        growth=1.5,
        table_size=99,
        seed=2**62,
    ),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.label or "plain")
def test_round_trips(config):
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert TrainConfig.from_dict(json.loads(config.to_json())) == config


def test_every_field_is_an_option_with_a_help_and_its_own_place():
    assert [option.name for option in OPTIONS] == [field.name for field in fields(TrainConfig)]
    assert all(option.help for option in OPTIONS)
    assert len({(option.section, option.key) for option in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("side", 0), ("side", 1.5), ("side", True), ("side", 10**6), ("depth", 0), ("width", -1),
        ("lr", -1e-3), ("lr", 0.0), ("lr", float("nan")), ("lr", 10**400), ("grid_lr", float("inf")),
        ("iterations", 0), ("batch", 0), ("samples", 0), ("samples", "all"), ("sampling", "all"),
        ("seed", -1), ("activation", "elu"), ("sigma", None), ("checkpoints", (-1,)),
        ("checkpoints", (2000,)), ("growth", 0.5), ("levels", 0), ("encoding", "hash"),
        ("finest", 2), ("grey", "yes"), ("held_out", 0.0), ("held_out", 1.0), ("lr", 1e38), ("grid_lr", 1e39),
        ("omega", 1e300), ("omega", 1e-50), ("sigma", 1e300), ("iterations", 10**17), ("batch", 10**400),
        ("samples", 10**400), ("width", 10**400), ("features", 10**400), ("level_features", 10**400),
        ("base", 10**400), ("finest", 10**30), ("outputs", 10**400),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_the_options_name(name, value):
    with pytest.raises(UsageError) as caught:
        TrainConfig(**{name: value})
    assert f"option {name}" in str(caught.value)
    assert f"option --{name.replace('_', '-')}" in caught.value.at_command_line()


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 10**6},
        {"encoding": "multigrid", "growth": 1e9, "levels": 64},
        {"encoding": "multigrid", "finest": 10**6},
        {"encoding": "gaussian", "features": 10**8},
    ],
)
def test_models_beyond_memory_are_refused_before_they_are_made(changes):
    with pytest.raises(UsageError, match="at most 268,435,456 parameters"):
        TrainConfig(**changes)


def test_a_large_resolution_fits_once_it_is_hashed():
    assert TrainConfig(encoding="multigrid", finest=10**6, table_size=2**14).finest == 10**6


@pytest.mark.parametrize("changes", [{"growth": 1e30}, {"levels": 64}, {"base": 2**30}])
def test_levels_too_fine_for_whole_numbers_are_refused(changes):
    with pytest.raises(UsageError, match="2,147,483,648 cells an axis at the finest level"):
        TrainConfig(encoding="multigrid", table_size=64, **changes)


def test_every_number_has_a_largest():
    numbers = [option for option in OPTIONS if option.kind in (int, float)]
    assert [option.name for option in numbers if option.most is None] == ["growth"]  # bounded with the levels


def test_growth_and_finest_exclude_each_other():
    with pytest.raises(UsageError, match="leave one out"):
        TrainConfig(growth=2.0, finest=64)
    with pytest.raises(UsageError, match="base=4, with one level, got 64; give finest=4 or more levels"):
        TrainConfig(levels=1, finest=64)


def test_unknown_keys_are_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        unnest({"encoding": {"sigmaa": 3.0}}, "x.toml", VISIBLE)
    message = str(caught.value)
    assert "x.toml" in message
    assert "'sigmaa'" in message
    assert "sigma, octaves" in message
    with pytest.raises(UsageError, match=r"move it to \[model\]"):
        unnest({"encoding": {"depth": 3}}, "x.toml", VISIBLE)
    with pytest.raises(UsageError, match=r"\[optimizer\]"):
        unnest({"optimiser": {"lr": 1.0}}, "x.toml", VISIBLE)
    with pytest.raises(UsageError, match="'outputs'"):
        unnest({"model": {"outputs": 3}}, "x.toml", VISIBLE)
    for nested, remedy in (
        ({"encoding": {"sigm": 3.0}}, "did you mean sigma"),
        ({"optimiser": {"lr": 1.0}}, r"did you mean \[optimizer\]"),
        ({"iteration": 5}, r"did you mean iterations in \[optimizer\]"),
        ({"steps": 5}, r"did you mean iterations in \[optimizer\]"),
        ({"encoding": {"Level_Feature": 2}}, "did you mean level_features"),
        ({"optimizer": {"momentum": 2}}, "mend the name"),
        ({"task": {"zzz": 1}}, "mend the name"),
    ):
        with pytest.raises(UsageError, match=remedy):
            unnest(nested, "x.toml", VISIBLE)
    with pytest.raises(UsageError, match=r"x.toml, lr in \[optimizer\]"):
        unnest({"optimizer": {"lr": "fast"}}, "x.toml", VISIBLE)


@pytest.mark.parametrize("content", [b"side = ", b"\xff\xfe", None])
def test_toml_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.toml"):
        read_toml(path)
    with pytest.raises(UsageError):
        read_toml(tmp_path)


def test_later_layers_win_and_all_win_over_the_preset():
    config = resolve({"preset": "ffe-low", "sigma": 2.0, "lr": 0.1}, {"lr": 0.2})
    assert (config.encoding, config.sigma, config.lr, config.label) == ("gaussian", 2.0, 0.2, "FFE (low)")
    assert resolve({"preset": "mpe-fine", "side": 64}).finest == 64
    assert resolve({"preset": "mpe-fine", "side": 64}, {"preset": "mpe-coarse"}).finest == 8
    assert resolve({"preset": "mpe-fine"}, {"growth": 1.3}).finest is None
    for wrong, said in (({"side": "x"}, "option side: expected"), ({"preset": 5}, "option preset: expected")):
        with pytest.raises(UsageError, match=said):
            resolve({"preset": "mpe-fine"}, wrong)
    assert resolve({"growth": 1.3, "encoding": "multigrid"}, {"finest": 32}).growth is None
    assert resolve({"preset": "mpe-coarse", "side": 2}).finest == 4
    with pytest.raises(UsageError, match="mpe-coarse, mpe-fine"):
        resolve({"preset": "mpe"})


@pytest.mark.parametrize(
    ("layer", "flag", "needed"),
    [
        ({"preset": "baseline", "sigma": 3.0}, "--sigma", "encoding gaussian"),
        ({"preset": "baseline", "growth": 2.0}, "--growth", "encoding multigrid"),
        ({"preset": "ffe-low", "octaves": 3}, "--octaves", "encoding axis"),
        ({"preset": "mpe-fine", "encoding": "axis", "grid_lr": 0.1}, "--grid-lr", "encoding multigrid"),
        ({"omega": 20.0}, "--omega", "activation sine"),
    ],
)
def test_options_without_effect_are_refused(layer, flag, needed):
    with pytest.raises(UsageError) as caught:
        resolve(layer)
    message = caught.value.at_command_line()
    assert f"option {flag}: expected {needed}" in message
    assert message.endswith("--" + needed)


@pytest.mark.parametrize(
    ("encoding", "keys"),
    [
        ("identity", set()),
        ("gaussian", {"features", "sigma"}),
        ("axis", {"octaves"}),
        ("multigrid", {"levels", "base", "level_features", "interpolation"}),
    ],
)
def test_only_the_active_encodings_keys_are_stored_and_all_are_read(encoding, keys):
    config = TrainConfig(encoding=encoding)
    nested = config.to_dict()
    assert set(nested["encoding"]) == {"kind"} | keys
    assert ("grid_lr" in nested["optimizer"]) == (encoding == "multigrid")
    assert "omega" not in nested["model"]
    everything = {**nested, "encoding": {"sigma": 5.0, "octaves": 6, "levels": 6, **nested["encoding"]}}
    assert TrainConfig.from_dict(everything) == TrainConfig.from_dict(nested) == config


def test_another_encoding_than_the_presets_drops_its_name_and_label():
    config = resolve({"preset": "ffe-low", "encoding": "axis"})
    assert (config.preset, config.label, config.encoding) == (None, None, "axis")
    assert config == TrainConfig.from_dict(config.to_dict())
    assert resolve({"preset": "ffe-low", "encoding": "axis", "label": "mine"}).label == "mine"
    assert resolve({"preset": "mpe-fine", "encoding": "identity"}).finest is None
    assert resolve({"preset": "ffe-low", "encoding": "gaussian"}).label == "FFE (low)"


def test_presets_labels():
    labels = ["baseline", "FFE (low)", "FFE (medium)", "FFE (high)", "MPE (coarse)", "MPE (fine)"]
    assert [preset.label for preset in PRESETS.values()] == labels


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_presets_build_and_run(name, outputs):
    config = replace(resolve({"preset": name}), outputs=outputs)
    model = build_model(config)
    assert model(torch.rand(5, 2)).shape == (5, outputs)
    tables = [module for module in model.modules() if isinstance(module, TableLookup)]
    assert len(tables) == (config.levels if name.startswith("mpe") else 0)
    if tables:
        finest = tables[-1]
        assert isinstance(finest, GridLevel)
        assert finest.resolution == {"mpe-coarse": 24, "mpe-fine": 192}[name]


@pytest.mark.parametrize("encoding", ["identity", "gaussian", "axis", "multigrid"])
@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_models_of_every_dimension(encoding, inputs):
    config = TrainConfig(encoding=encoding, inputs=inputs, outputs=2, levels=3, base=2, width=8)
    model = build_model(config)
    assert model(torch.rand(4, inputs)).shape == (4, 2)


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = build_model(resolve({"preset": "mpe-coarse", "seed": 1})).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    two = build_model(resolve({"preset": "mpe-coarse", "seed": 1})).state_dict()
    other = build_model(resolve({"preset": "mpe-coarse", "seed": 2})).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["mlp.output.weight"], other["mlp.output.weight"])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_before_toml_is_skipped(tmp_path, newline):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f'label = "é"{newline}[task]{newline}side = 8{newline}'.encode())
    assert read_toml(path) == {"label": "é", "task": {"side": 8}}
    path.write_bytes(2 * b"\xef\xbb\xbf" + b"seed = 3")
    assert read_toml(path) == {"seed": 3}
    path.write_bytes(b"\xef\xbb\xbf")
    assert read_toml(path) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("seed = 3".encode("utf-16"), "not UTF-8; .*saved as UTF-8"),
        (b"seed = " + b"9" * 5000, "beyond all bounds"),
        (b"seed = " + b"[" * 100000, "beyond all bounds"),
    ],
    ids=["utf-16", "digits", "nested"],
)
def test_toml_beyond_reading_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)


def test_a_growth_beyond_all_numbers_is_refused():
    with pytest.raises(UsageError, match="cells an axis at the finest level, got inf"):
        TrainConfig(encoding="multigrid", growth=1e308, levels=2, table_size=16)
