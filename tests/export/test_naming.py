"""What a model is called."""

from pathlib import Path

import pytest

from refact_edge.export.naming import model_name
from refact_edge.runtime.errors import OptionError


def test_the_name_of_its_user_goes_first() -> None:
    config = {"_name_or_path": "owner/model"}
    assert model_name("mine-1.5b", config, Path("folder")) == "mine-1.5b"


def test_a_checkpoint_that_was_published_keeps_its_name() -> None:
    assert model_name(None, {"_name_or_path": "owner/model-1_5B"}, Path("f")) == "owner/model-1_5B"


@pytest.mark.parametrize("place", ["/home/me/secret", "./out", "checkpoint-100", "a/b/c", "", 7])
def test_a_path_of_somebodys_disk_is_no_name(place: object, tmp_path: Path) -> None:
    folder = tmp_path / "SmolLM2 135M (mine)"
    assert model_name(None, {"_name_or_path": place}, folder) == "SmolLM2-135M-mine"


def test_a_folder_of_no_usable_name_makes_no_name_of_it(tmp_path: Path) -> None:
    assert model_name(None, {}, tmp_path / "模型") == "model"


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "../x", "-x", "a\n", "x" * 97])
def test_a_name_that_an_interface_would_choke_on_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="expected letters, digits"):
        model_name(name, {}, Path("folder"))
