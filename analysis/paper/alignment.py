"""Beyond the paper: does the share of a picture in the kernel's leading modes tell how well it is drawn?

    python -m analysis.paper.alignment PICTURES -o paper/alignment --results paper/results

As in `held_out.py`, half of the pixels, at random, are learnt, and the other half judged apart. Kernels are
taken before training ("init"), in the middle and at the end, at samples of the pixels that are learnt; the
target is the picture there, less its mean. Five pictures at a time are trained from the same weights; every
five have a seed of their own, and are as evenly spread over the folder as all. Run files may be deleted once
they are measured. How the numbers are judged was written down before they were seen, in
`alignment_verdicts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from analysis.paper import command
from analysis.paper.alignment_verdicts import QUALITY, STAGES, all_claims, table, taus
from analysis.paper.drawing import COLOURS, NAMES, legend, line, new_axes, new_figure, save
from analysis.paper.groups import by_name, check_alike, require
from analysis.paper.held_out import LEARNT, SHARE
from analysis.paper.packed import no_runs
from analysis.paper.verdicts import in_words, to_tree
from ntkspec.errors import UsageError
from ntkspec.population.aligned import ALIGNED, LEADING, Aligned, from_dict
from ntkspec.population.jobs import Job, settings_of
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json

TOGETHER = 5  # pictures that are trained at once
TITLES_OF_STAGES = dict(zip(STAGES, ("Kernel before training", "Halfway", "At the end"), strict=True))


def jobs(folder: Path, pictures: Sequence[Path], scale: Mapping[str, Any]) -> list[Job]:
    """Return a training for every pack of pictures and preset, pack after pack."""
    packs = -(-len(pictures) // TOGETHER)
    return [
        Job(
            folder,
            tuple(pictures[pack::packs]),
            {"preset": preset, "seed": pack, **scale, "held_out": SHARE},
            {preset: {}},
            kept=frozenset(STAGES),
            results=ALIGNED,
        )
        for pack, preset in product(range(packs), NAMES)
    ]


def load(study: Path) -> list[Aligned]:
    """Return what was measured of all runs in the folder of the study, by picture and preset.

    Raises:
        UsageError: there are none, they are of different settings, or a picture lacks a preset.
    """
    found = ALIGNED.all_in(study)
    if not found:
        raise no_runs(study)
    check_alike(found)
    require(found, NAMES)
    return sorted(found, key=lambda each: (each.item, each.name))


def draw(runs: Iterable[Aligned], output: Path) -> None:
    """Draw PSNR of both sorts of pixels against the share beyond the leading modes, at every stage.

    A dot is a picture behind a preset, in the middle of what is known of its share.
    """
    groups = by_name(runs)
    figure = new_figure(13.0, 7.6)
    panels = new_axes(figure, len(QUALITY), len(STAGES))
    for axes, ((metric, pixels), stage) in zip(panels, product(QUALITY.items(), STAGES), strict=True):
        for name, group in groups.items():
            shares = [100 * np.mean(each.snapshots[stage]["beyond"]) for each in group]
            scores = [each.metrics[metric] for each in group]
            axes.plot(shares, scores, "o", color=COLOURS[name], markersize=3.5, alpha=0.6, markeredgewidth=0)
            axes.plot(np.median(shares), np.median(scores), "D", color=COLOURS[name], markersize=8,
                      markeredgecolor="white")  # fmt: skip
        axes.set(xscale="log")
        axes.xaxis.set_major_formatter("{x:g}")
        if metric == LEARNT:
            axes.set_title(TITLES_OF_STAGES[stage])
        else:
            axes.set_xlabel(f"% of the picture beyond the leading {LEADING} modes")
        if stage == STAGES[0]:
            axes.set_ylabel(f"PSNR in dB, {pixels}")
        axes.grid(color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
    handles = [line(NAMES[name], COLOURS[name]) for name in NAMES]
    legend(figure, handles, 6)
    save(figure, output)


def write(runs: Sequence[Aligned], output: Path) -> None:
    """Write as JSON what was measured and what follows; settings and what made the runs stand there once."""
    made: list[Mapping[str, Any]] = []
    for each in runs:
        made += [one for one in (each.made, each.config.get("trained_by")) if one and one not in made]
    settings = {name: settings_of(group[0].config) for name, group in by_name(runs).items()}
    packed = [
        {
            **asdict(each),
            "config": {"seed": each.seed},
            "made": made.index(each.made),
            "trained_by": made.index(each.config["trained_by"]),
        }
        for each in runs
    ]
    claims = to_tree(all_claims(runs))
    write_json(output, {"made": made, "settings": settings, "runs": packed, "claims": claims})


def read(path: Path) -> list[Aligned]:
    """Return the runs that `write` was given.

    Raises:
        UsageError: it wrote no such file.
    """
    try:
        content = read_json(path)
        return [_unpacked(each, content) for each in content["runs"]]
    except (OSError, *OTHER_SHAPE) as error:
        got = getattr(error, "strerror", None) or "something else"
    remedy = "make it with python -m analysis.paper.alignment"
    raise UsageError(str(path), expected="what alignment.py writes", got=got, remedy=remedy)


def _unpacked(each: Mapping[str, Any], content: Mapping[str, Any]) -> Aligned:
    trained, made = (content["made"][each[key]] for key in ("trained_by", "made"))
    config = {**content["settings"][each["name"]], **each["config"], "trained_by": trained}
    kept = {key: value for key, value in each.items() if key != "trained_by"}
    return from_dict({**kept, "config": config, "made": made})


def main() -> None:
    """Make what is missing, draw it, write the numbers and print them with their verdicts."""
    parser = command.pictures_parser(__doc__, 3)
    parser.add_argument(
        "--results", type=Path, required=True, help="folder for alignment.png and alignment.json"
    )
    options = parser.parse_args()
    command.check_folder(options.results)
    made = jobs(options.output, command.pictures_of(options), command.scale_of(options))
    command.make(made, options)
    runs = load(options.output)
    draw(runs, options.results / "alignment.png")
    write(runs, options.results / "alignment.json")
    print(table(runs), taus(runs), in_words(all_claims(runs)), sep="\n\n")


if __name__ == "__main__":
    command.run(main)
