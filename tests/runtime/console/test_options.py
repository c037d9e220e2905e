"""Options of a group reach a command as one value."""

from dataclasses import dataclass, fields
from pathlib import Path

import click
from runner import runner_apart

from refact_edge.runtime.console.options import (
    ModelOptions,
    SamplingOptions,
    bundle_option,
    gathered,
    model_options,
    sampling_options,
)
from refact_edge.runtime.console.params import bundle_argument


@dataclass(frozen=True)
class Size:
    width: int
    height: int


def test_a_group_is_one_argument_beside_others() -> None:
    sizes: list[tuple[Size, str]] = []

    @click.command()
    @gathered(
        "size", Size, (click.option("--width", default=1), click.option("--height", default=2))
    )
    @click.argument("name")
    def draw(size: Size, name: str) -> None:
        sizes.append((size, name))

    assert runner_apart().invoke(draw, ["--height", "7", "door"]).exit_code == 0
    assert sizes == [(Size(1, 7), "door")]


def test_help_names_the_options_in_their_order() -> None:
    @click.command()
    @model_options(bundle_option)
    @sampling_options
    def command(model: ModelOptions, sampling: SamplingOptions) -> None: ...

    names = [parameter.name for parameter in command.params]
    bundle, *others = [
        field.name for kind in (ModelOptions, SamplingOptions) for field in fields(kind)
    ]
    assert names == [bundle, "trust", "digest", *others]


def test_a_bundle_is_an_argument_or_named_as_other_commands_have_it() -> None:
    bundles: list[Path | None] = []

    @click.command()
    @bundle_argument
    def look(bundle: Path | None) -> None:
        bundles.append(bundle)

    for words in ([], ["a"], ["--bundle", "a"]):
        assert runner_apart().invoke(look, words).exit_code == 0
    assert bundles == [None, Path("a"), Path("a")]
    both = runner_apart().invoke(look, ["a", "--bundle", "b"])
    assert both.exit_code == 2
    assert "--bundle b and BUNDLE a; expected one of the two" in both.output
