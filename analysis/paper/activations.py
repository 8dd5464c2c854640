"""Beyond the paper: activations. ReLU, SiLU, GELU, tanh and sine, without an encoding and behind a fine MPE.

    python -m analysis.paper.activations PICTURES -o paper/activations --results paper/results

Of ReLU networks the kernel is exactly singular once regions hold more samples than they have dimensions;
smooth activations have no regions. All networks learn at the presets' rates but sine's (omega 30, Sitzmann et
al. 2020), which needs a tenth of the fine MPE's.
"""

from __future__ import annotations

from analysis.paper import command
from analysis.paper.variants import Variants
from ntkspec.nets.presets import PRESETS

ACTIVATIONS = Variants(
    {"baseline": "no encoding", "mpe-fine": "MPE (fine)"},
    {
        "relu": {},
        "silu": {"activation": "silu"},
        "gelu": {"activation": "gelu"},
        "tanh": {"activation": "tanh"},
        "sine": {"activation": "sine", "lr": PRESETS["mpe-fine"].settings["lr"] / 10},
    },
)
STUDY = ACTIVATIONS.study("activations")

if __name__ == "__main__":
    command.run(lambda: STUDY.run(__doc__))
