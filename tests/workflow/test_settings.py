"""What the user asks for: TOML, `--set`, options, which of them wins, and names that are unknown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.oddrow import OddRowDetector
from oddrow.errors import OddrowError, ParameterError
from oddrow.table.join import Join
from oddrow.thresholds.rule import Rule
from oddrow.workflow.settings import Settings

EVERYTHING = """
label = "Class"
anomaly = [1, "fraud"]
time = "Time"
from = 2018-07-25
until = "2018-08-01"
join = "more.csv"
on = "row"
id = "row"
weight = "w"
drop = ["a", "b"]
threshold = "contamination:0.02@train"
block = "quantile:0.999"
amount = "x"
entity = "a"
seed = 7

[table]
names = ["Time", "Class", "row", "w", "a", "b", "x"]
header = true
missing = ["NA", "-"]

[schema]
x = "category"

[detector]
name = "autoencoder"
hidden = [14, 7]
activations = "tanh"
noise = 0.1

[training]
epochs = 3
batch_size = 64

[encoder]
numbers = "robust"
times = ["hour"]

[[history]]
by = "row"
windows = ["7d"]
delay = "7d"
features = ["count", "risk"]

[[history]]
features = ["weekend"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fit.toml"
    path.write_text(EVERYTHING)
    return path


def test_a_toml_file_may_hold_everything(config: Path) -> None:
    settings = Settings.gather(config)
    roles, read = settings.roles, settings.read
    assert (roles.label, roles.anomaly, roles.time, roles.id, roles.weight) == (
        "Class",
        ("1", "fraud"),
        "Time",
        "row",
        "w",
    )
    assert roles.drop == ("a", "b")
    assert (settings.start, settings.until) == ("2018-07-25", "2018-08-01")
    assert settings.threshold == Rule("contamination", (0.02,), "train")
    assert settings.block == Rule("quantile", (0.999,))
    assert (roles.amount, roles.entity) == ("x", "a")
    assert settings.history is not None
    assert settings.history.names == ["row_count_7d_7d_ago", "row_risk_7d_7d_ago", "is_weekend"]
    assert settings.seed == 7
    assert settings.join == Join("more.csv", "row")
    assert read.names == ("Time", "Class", "row", "w", "a", "b", "x")
    assert read.has_header
    assert read.missing == ("NA", "-")
    assert settings.kinds == {"x": "category"}


def test_settings_become_a_detector(config: Path) -> None:
    detector = Settings.gather(config).new_detector(checkpoint="somewhere", progress=True)
    assert isinstance(detector, AutoencoderDetector)
    assert (detector.hidden, detector.activations, detector.noise) == ((14, 7), "tanh", 0.1)
    assert detector.random_state == 7
    training = detector._used_training
    assert (training.epochs, training.batch_size, training.checkpoint, training.progress) == (3, 64, "somewhere", True)
    assert detector.encoder is not None
    assert (detector.encoder.numbers, detector.encoder.times) == ("robust", ("hour",))


def test_without_anything_the_defaults_hold() -> None:
    settings = Settings.gather()
    assert settings == Settings()
    assert settings.threshold == Rule("quantile", (0.99,))
    defaults = OddRowDetector().get_params(deep=False)
    found = settings.new_detector().get_params(deep=False)
    assert {name: found[name] for name in ("mode", "n_reference_rows", "contamination")} == {
        name: defaults[name] for name in ("mode", "n_reference_rows", "contamination")
    }


@pytest.mark.parametrize(
    ("sets", "mode"),
    [
        ([], "outlier"),
        (["label=y"], "novelty"),
        (["clean=true"], "novelty"),
        (["label=y", "detector.mode=outlier"], "outlier"),
        (["detector.mode=novelty"], "novelty"),
    ],
    ids=str,
)
def test_training_rows_are_taken_for_normal_where_labels_or_the_user_say_so(sets: list[str], mode: str) -> None:
    assert Settings.gather(sets=sets).new_detector().get_params()["mode"] == mode


def test_the_encoder_is_that_of_the_mode_but_for_what_is_said() -> None:
    encoder = Settings.gather(sets=["clean=true", "encoder.max_levels=9"]).new_detector().get_params()["encoder"]
    assert (encoder.numbers, encoder.max_levels) == ("robust", 9)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["clean=1"], "clean=1 is not true or false"),
        (["clean=true", "detector.name=dagmm"], "clean: the detector dagmm always treats training rows as normal"),
        (["clean=true", "detector.mode=outlier"], "clean contradicts detector.mode=outlier"),
        (["training.epochs=5"], "training.epochs=5: outlier mode trains nothing"),
        (["detector.mode=novel"], "mode='novel' is not one of novelty, outlier"),
        (["detector.n_reference_rows=1"], "n_reference_rows=1: a single row has no other"),
    ],
    ids=str,
)
def test_what_makes_no_sense_of_a_mode_is_refused(sets: list[str], said: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(said)):
        Settings.gather(sets=sets).new_detector()


def test_the_later_one_wins(config: Path) -> None:
    sets = ["training.epochs=4", "seed=8", "training.epochs=5", "drop=c"]
    settings = Settings.gather(config, sets, {"seed": 9, "label": None, "threshold": "fixed:1"})
    assert settings.training == {"epochs": 5, "batch_size": 64}
    assert settings.roles.drop == ("c",)
    assert settings.seed == 9
    assert settings.roles.label == "Class"
    assert settings.threshold == Rule("fixed", (1.0,))


@pytest.mark.parametrize(
    ("text", "section", "name", "value"),
    [
        ("training.epochs=20", "training", "epochs", 20),
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("training.patience=none", "training", "patience", None),
        ("detector.hidden=[14, 7]", "parameters", "hidden", [14, 7]),
        ("detector.hidden=14,7", "parameters", "hidden", [14, 7]),
        ("detector.activations=tanh,relu", "parameters", "activations", ["tanh", "relu"]),
        ('detector.activations="tanh"', "parameters", "activations", "tanh"),
        ("encoder.numbers=robust", "encoder", "numbers", "robust"),
        ("schema.zip=category", "kinds", "zip", "category"),
        ("schema.a.b=category", "kinds", "a.b", "category"),
    ],
)
def test_set_reads_values_as_toml_lists_or_text(text: str, section: str, name: str, value: Any) -> None:
    settings = Settings.gather(sets=[text], options={"detector.name": "autoencoder"})
    assert getattr(settings, section) == {name: value}


@pytest.mark.parametrize(
    ("text", "role", "value"),
    [
        ("anomaly=140", "anomaly", ("140",)),
        ("anomaly=1,2", "anomaly", ("1", "2")),
        ("anomaly=true", "anomaly", ("true",)),
        ("normal=normal.", "normal", ("normal.",)),
        ("label=140", "label", "140"),
        ("drop=V1,V2", "drop", ("V1", "V2")),
    ],
)
def test_label_values_and_column_names_are_text(text: str, role: str, value: Any) -> None:
    assert getattr(Settings.gather(sets=[text]).roles, role) == value
    name, _, given = text.partition("=")
    assert getattr(Settings.gather(options={name: given}).roles, role) == value


def test_an_option_may_be_a_setting_of_a_section() -> None:
    assert Settings.gather(options={"detector.name": "autoencoder", "detector.noise": None}).parameters == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainig.epochs=5", "unknown key 'trainig'. Did you mean 'training'?"),
        ("training.epoch=5", "unknown key 'training.epoch'. Did you mean 'epochs'?"),
        ("training.zzz=5", "unknown key 'training.zzz'. Known: batch_size, "),
        ("detector.mod=novelty", "Did you mean 'mode'?"),
        (
            "detector.latent=2",
            "the detector oddrow has no such parameter, but dagmm does. Choose",
        ),
        ("detector.random_state=5", "unknown key 'detector.random_state'"),
        ("detector.training=5", "unknown key 'detector.training'"),
        ("encoder.number=x", "Did you mean 'numbers'?"),
        ("table.mising=x", "Did you mean 'missing'?"),
        ("labl=x", "Did you mean 'label'?"),
        (
            "detector.name=autoencodr",
            "is not one of oddrow, autoencoder, dagmm. Did you mean 'autoencoder'?",
        ),
        ("threshold=quantil:0.9", "Did you mean 'quantile'?"),
        ("training", "--set 'training': expected NAME=VALUE, such as training.epochs=20"),
        ("=5", "expected NAME=VALUE"),
        ("training=5", "'training' is a section, not a value: write training.NAME=VALUE"),
        ("table.header=maybe", "table.header='maybe' is not true or false"),
        ("seed=-1", "seed=-1 is not a whole number of at least 0"),
        ("seed=1.5", "seed=1.5 is not a whole number"),
        ("seed=true", "seed=True is not a whole number"),
        ("join=b.csv", "--join b.csv needs a key column that both tables have: --on KEY."),
        ("on=id", "--on id needs a second table: --join TABLE."),
        ("join.on=id", "'join' is one value, not a section"),
        ("label.x=5", "'label' is one value, not a section: write label=VALUE"),
    ],
)
def test_unknown_names_and_values_are_refused(text: str, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Settings.gather(sets=[text])
    assert said in str(caught.value)


def test_a_detector_may_be_named_by_one_word(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text('detector = "dagmm"\n')
    settings = Settings.gather(path, ["detector.latent=2"])
    assert (settings.detector, settings.parameters) == ("dagmm", {"latent": 2})
    assert Settings.gather(sets=["detector=dagmm"]).detector == "dagmm"
    assert Settings.gather(path, options={"detector.name": "autoencoder"}).detector == "autoencoder"


def test_a_value_is_no_section(config: Path) -> None:
    with pytest.raises(ParameterError, match=r"'label' is one value, not a section: 'label.x' does not exist"):
        Settings.gather(config, ["label.x=5"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.epochs=many", "training.epochs='many' is not a whole number"),
        ("training.epochs=2.5", "training.epochs=2.5 is not a whole number of at least 0"),
        ("training.batch_size=0", "training.batch_size=0 is not a whole number of at least 1"),
        ("training.learning_rate=0", "training.learning_rate=0 is not a finite number above 0"),
        ("training.clip_norm=inf", "training.clip_norm=inf is not a finite number above 0"),
        ("training.validation_fraction=1", "training.validation_fraction=1 is not"),
        ("detector.activations=geluu", "Did you mean 'gelu'?"),
        ("detector.hidden=8", "hidden=8 is not a list of widths, such as [8]"),
        ("detector.hidden=wide", "hidden='wide' is not a list of widths"),
        ("detector.hidden=[0]", "hidden=0 is not a whole number of at least 1"),
        ("detector.scoring=meen", "scoring='meen' is not one of"),
    ],
)
def test_parameters_are_checked_before_any_row_is_read(text: str, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Settings.gather(sets=[text], options={"detector.name": "autoencoder"}).new_detector()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"label = \n", "cannot be read as TOML"),
        (b"\xff\xfe", "cannot be read as TOML"),
        (b"labl = 'x'\n", "unknown key 'labl'. Did you mean 'label'?"),
        (b"[training]\nepoch = 1\n", "unknown key 'training.epoch'"),
        (b"training = 5\n", "'training' is a section"),
    ],
)
def test_files_that_cannot_be_followed_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "fit.toml").write_bytes(content)
    with pytest.raises(ParameterError) as caught:
        Settings.gather(tmp_path / "fit.toml")
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OddrowError, match=r"fit.toml: there is no such file"):
        Settings.gather(tmp_path / "fit.toml")
    with pytest.raises(OddrowError, match=r"cannot be read as TOML"):
        Settings.gather(tmp_path)
