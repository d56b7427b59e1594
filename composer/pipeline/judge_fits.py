"""What ``vignette eval slots`` found of a judge beside a search, kept below VIGNETTE_HOME and read by every request.

One small file for each pair of judge and encoder, named by their hashes: another model of the same profile has no part
in it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_type_hints

from composer.errors import UsageError
from composer.fields import check_known, typed
from composer.settings import JudgeFit, Settings
from vision.downloads.files import write_atomic
from vision.downloads.store import home
from vision.interfaces import EncoderIdentity, ModelIdentity


def fit_file(judge: ModelIdentity, encoder: EncoderIdentity) -> Path:
    return home() / "judges" / f"{judge.sha256[:16]}-{encoder.sha256[:16]}.json"


def save_fit(fit: JudgeFit, judge: ModelIdentity, encoder: EncoderIdentity) -> Path:
    file = fit_file(judge, encoder)
    file.parent.mkdir(parents=True, exist_ok=True)
    names = {"judge": judge.name, "encoder": encoder.name}
    write_atomic(file, json.dumps(names | asdict(fit), indent=1, ensure_ascii=False) + "\n")
    return file


def with_judge_fit(settings: Settings, judge: ModelIdentity, encoder: EncoderIdentity) -> Settings:
    """The settings with what was fitted for these models, where anything was and the profile does not decline it.

    Raises UsageError for a file that is not one of these.
    """
    file = fit_file(judge, encoder)
    if not settings.pictures.fitted_judge or not file.is_file():
        return settings
    kinds = get_type_hints(JudgeFit)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        check_known(values, ("judge", "encoder", *kinds))
        fit = JudgeFit(**{name: typed(name, values[name], kind) for name, kind in kinds.items()})
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise UsageError("judge_fit_unreadable", file=str(file)) from error
    pictures = replace(settings.pictures, judge_weight=fit.weight, judge_slope=fit.slope, judge_offset=fit.offset)
    return replace(settings, pictures=pictures, judge_fit=fit)
