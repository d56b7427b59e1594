"""What was fitted for a judge holds for every article: it counts so much, and where it loses it is not asked."""

from pathlib import Path

import pytest

from composer.pipeline.judge_fits import save_fit
from composer.pipeline.model_pool import ModelPool
from composer.pipeline.selection import worth
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, JudgeFit, Settings
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder
from vision.interfaces import Prompt

DRAFT = "# Walls\n\nThe red wall stands in the old town.\n\nThe blue wall stands by the river."
FIT = JudgeFit(weight=0.0, slope=2.0, offset=-1.0, gain=-0.02, low=-0.06, high=0.01, slots=40)


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_a_judge_that_loses_is_not_asked_and_the_article_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    asked: list[Prompt] = []

    def scores(prompt: Prompt, options: list[str]) -> list[float]:
        if "Does the following one fit there" in prompt[-2].text:
            asked.append(prompt)
        return [-1.0] * len(options)

    model, encoder = ScriptedModel(lambda *_: "", scores), ColourEncoder()
    make_library(tmp_path, encoder, ("red", "blue")).close()
    save_fit(JudgeFit(weight, *(getattr(FIT, n) for n in FIT.__slots__[1:])), model.identity, encoder.identity)
    profile = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=0.3))
    pool = ModelPool(profile, model, encoder)
    article = pool.pipeline(tmp_path / "library").compose(ComposeRequest(text=DRAFT, images=2))
    pool.close()
    assert bool(asked) is (weight > 0)
    judging = article.provenance["judging"]
    assert judging["weight"] == judging["fitted"]["weight"] == weight
    assert judging["undescribed"] == "left to the search"
    assert judging["fitted"]["gain"] == FIT.gain
    assert [judging["fitted"]["low"], judging["fitted"]["high"]] == [FIT.low, FIT.high]


def test_a_calibrated_judge_speaks_for_a_picture_from_its_own_zero() -> None:
    settings = IllustrationSettings(judge_weight=1.0, judge_slope=2.0, judge_offset=-1.0)
    record = ImageRecord("0", Path("0.png"), 8, 8)

    def judged(log_odds: float) -> float:
        return worth(Candidate(record, 0.0, 0.0, 0.3, log_prob=log_odds - 3), -3.0, settings)

    assert judged(0.5) == pytest.approx(0.0)
    assert judged(0.4) < 0 < judged(0.6)
    assert judged(50.0) == -judged(-50.0) == 4.0
