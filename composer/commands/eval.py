"""``vignette eval``: measure the parts of composing on articles with known answers. Work: ``composer.evaluation``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from composer.commands.eval_wordless import add_wordless
from composer.commands.eval_writing import add_writing
from composer.commands.index import DRAFTS
from composer.commands.options import add_command, add_json, add_profile

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from composer.evaluation.dataset import EvaluationGallery
    from composer.evaluation.report import Measure
    from composer.settings import Settings
    from vision.interfaces import JointEncoder, VisionLanguageModel
    from vision.training.dataset import Figure, TrainingArticle

Draw: TypeAlias = Callable[[str, int, int], None]  # what, done, total
EXAMPLES = """\
examples:
  vignette eval retrieval --data openstax
  vignette eval sections --data openstax --split dev --json
  vignette eval retrieval --data openstax --encoder trained/     a folder that `vignette train joint` wrote
  vignette eval retrieval --data openstax --describe labels      nobody wrote a word: what do guessed labels find?
  vignette eval drafts --data openstax                           what pictures without words are drafted to show
  vignette eval selection --data openstax --limit 60             the language model judges 60 choices among eight
  vignette eval selection --data openstax --no-judge             retrieval alone, on all of them
  vignette eval slots --data openstax --profile hub              what the profile's judge adds; fits its weight
  vignette eval stores --data openstax                           the same pictures found in a folder and in milvus-lite?
  vignette eval placement --data openstax
  vignette eval placement --data openstax --split train --fit boundaries.json

The data folder holds SPLIT.jsonl, one article a line: id, book, title, blocks (heading, paragraph, figure), and the
pictures its figures name.
"""
_MEASURES = {
    "retrieval": "alt texts and captions as queries: recall and median rank by pixels, by texts, and fused",
    "sections": "sections of articles as queries: which photograph belongs here?",
    "drafts": "alt texts and captions look for the words drafted from pixels: recall beside a classifier's labels",
    "selection": "which of eight photographs belongs to a section or stands in a slot: search, language model, both",
    "slots": "what the judge adds to the search in an article's slots; its weight is fitted, and kept for this profile",
    "stores": "alt texts, captions and sections as queries: are the ten best the same in FAISS and in Milvus?",
    "placement": "where pictures stand, in which order, and whether places stay empty when nothing fits",
}
DEFAULT_LIMIT = 100
LABEL_CONFIDENCE = 0.1  # at which labels find most, lower than indexing asks for
RANDOM_PICTURES = 3  # a slot, to calibrate the judge by
FIT_PICTURES = 400  # a gallery to fit on is about as large as those of dev


def register(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers,
        "eval",
        "measure retrieval, selection, placement and writing",
        description="Measure on articles whose pictures are known, and what is written for titles.",
        examples=EXAMPLES,
    )
    kinds = parser.add_subparsers(dest="measure", metavar="WHAT", required=True)
    for name, text in _MEASURES.items():
        kind = add_command(kinds, name, text, run)
        kind.add_argument("--data", metavar="DIR", type=Path, required=True, help="the folder with SPLIT.jsonl")
        kind.add_argument("--split", metavar="NAME", default="dev", help="which split to measure on (default: dev)")
        kind.add_argument("--encoder", metavar="MODEL", help="an open_clip checkpoint instead of the profile's encoder")
        add_profile(kind, measured=True)
        add_json(kind, "print one JSON object instead of a table")
        kind.set_defaults(describe=None)
        if name in ("retrieval", "sections", "slots", "stores"):
            kind.add_argument(
                "--describe",
                metavar="HOW",
                help="measure the words that `vignette index --describe` writes (labels, or drafts, or captions of "
                "the model in this folder) in place of the alt texts",
            )
        if name in ("selection", "slots"):
            _add_judged(kind)
            if name == "selection":
                kind.add_argument("--no-judge", action="store_true", help="retrieval alone: loads no language model")
            else:
                kind.add_argument("--dry-run", action="store_true", help="measure alone: nothing is kept")
        elif name == "placement":
            _add_placement(kind)
    add_wordless(kinds)
    add_writing(kinds)


def _add_judged(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=DEFAULT_LIMIT,
        help=f"how many sections, drawn with --seed (default: {DEFAULT_LIMIT}; 0 = all): the language model is slow",
    )
    kind.add_argument("--seed", metavar="N", type=int, default=0, help="draws the sections (default: 0)")
    kind.add_argument(
        "--scores", metavar="FILE", type=Path, help="keep the model's scores here (default: below VIGNETTE_HOME)"
    )


def _add_placement(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--fit", metavar="FILE", type=Path, help="fit boundary weights to the split, write them, and print min_fused"
    )
    kind.add_argument("--boundaries", metavar="FILE", type=Path, help="boundary weights instead of the shipped ones")
    kind.add_argument("--no-pictures", action="store_true", help="positions only: loads no encoder")


def run(args: argparse.Namespace) -> int:
    from composer.commands.terminal import measure_table, progress
    from composer.evaluation.report import as_json

    kinds = {"selection": _selection, "slots": _slots, "placement": _placement, "drafts": _drafts}
    run_measure = kinds.get(args.measure, _retrieval)
    with progress() as draw:
        measures, about = run_measure(args, draw)
    if args.json:
        print(as_json(measures))
    else:
        print(f"{about}\n")
        print(measure_table(measures))
    return 0


def _retrieval(args: argparse.Namespace, draw: Draw) -> tuple[dict[str, Measure], str]:
    from composer.evaluation.retrieval import measure_retrieval, measure_sections
    from vision.downloads.files import file_sha256
    from vision.training.dataset import figures_of

    gallery, encoder, about = _pictures(args, figures_of(_articles(args)), draw)
    if args.measure == "stores":
        from composer.benchmarks.stores import parity_of_gallery

        return parity_of_gallery(gallery, encoder), about
    measure = {"retrieval": measure_retrieval, "sections": measure_sections}[args.measure]
    return measure(gallery, encoder, file_sha256(args.data / f"{args.split}.jsonl")), about


def _pictures(
    args: argparse.Namespace, figures: list[Figure], draw: Draw
) -> tuple[EvaluationGallery, JointEncoder, str]:
    """The pictures with the words that ``--describe`` asks for in place of the alt texts, their encoder, and in words
    what they are.
    """
    from composer.commands.terminal import say
    from composer.evaluation.dataset import EvaluationGallery
    from composer.pipeline.loading import load_describer, load_drafting

    encoder = _encoder(args)
    gallery = EvaluationGallery.encode(figures, encoder, partial(draw, say("pictures")), _kept())
    about = say("eval_pictures", count=len(figures), data=args.data / args.split, encoder=encoder.identity.name)
    if not args.describe:
        return gallery, encoder, about
    if args.describe == DRAFTS:
        gallery = gallery.drafted(encoder, load_drafting(_settings(args), encoder))
    else:
        labeller, captioner = load_describer(args.describe, _settings(args))
        told = partial(draw, say("pictures_described"))
        gallery = gallery.described(encoder, labeller=labeller, captioner=captioner, progress=told)
    return gallery, encoder, say("eval_described", about=about, count=int(gallery.has_text.sum()), how=args.describe)


def _drafts(args: argparse.Namespace, draw: Draw) -> tuple[dict[str, Measure], str]:
    from composer.commands.terminal import say
    from composer.evaluation.drafts import measure_drafts
    from composer.pipeline.loading import load_drafting
    from vision.joint_encoder.imagenet_labels import ImageLabeller
    from vision.training.dataset import figures_of

    settings = _settings(args)
    gallery, encoder, about = _pictures(args, figures_of(_articles(args)), draw)
    drafted = gallery.drafted(encoder, load_drafting(settings, encoder))
    labeller = partial(ImageLabeller().guess, min_confidence=LABEL_CONFIDENCE)
    labelled = gallery.described(encoder, labeller=labeller, progress=partial(draw, say("pictures_described")))
    return measure_drafts(drafted, labelled, encoder), about


def _selection(args: argparse.Namespace, draw: Draw) -> tuple[dict[str, Measure], str]:
    from composer.commands.terminal import say
    from composer.evaluation.choices import sample_rows
    from composer.evaluation.selection import judge_selection, measure_selection
    from composer.evaluation.slot_filling import judge_wanted, measure_wanted, wanted_pictures
    from composer.pipeline.prompts import load_prompts
    from vision.training.dataset import figures_of

    settings = _settings(args)
    gallery, encoder, about = _pictures(args, figures_of(_articles(args)), draw)
    rows = sample_rows(gallery, args.limit, args.seed)
    if args.no_judge:
        judged, measures = judge_selection(gallery, encoder, rows, seed=args.seed)
        return measure_selection(judged, settings.pictures) | measures, say(
            "eval_sections", sections=len(rows), about=about
        )
    model = _judge(args, settings)
    seen = gallery if model.sees_images else None
    about = say("eval_judge", about=about, judge=model.identity.name)
    wanted = wanted_pictures(gallery, encoder, rows)
    verdicts = judge_wanted(model, load_prompts("en"), wanted, gallery=seen, progress=partial(draw, say("slots")))
    judged, measures = judge_selection(
        gallery,
        encoder,
        rows,
        model=model,
        seed=args.seed,
        progress=partial(draw, say("judged")),
    )
    measures = measure_selection(judged, settings.pictures) | measures
    measures |= measure_wanted(wanted, verdicts, settings.pictures)
    return measures, say("eval_sections_captions", sections=len(rows), captions=len(wanted), about=about)


def _slots(args: argparse.Namespace, draw: Draw) -> tuple[dict[str, Measure], str]:
    from composer.commands.terminal import say
    from composer.errors import UsageError
    from composer.evaluation.choices import sample_rows
    from composer.evaluation.fit_judge import JudgedSlots, fit_judge
    from composer.evaluation.slot_filling import judge_random, judge_wanted, wanted_pictures
    from composer.pipeline.judge_fits import save_fit
    from composer.pipeline.prompts import load_prompts
    from composer.pipeline.prompts.trained_tasks import TRAINED_KIND
    from vision.training.dataset import figures_of

    settings = _settings(args)
    if settings.judge.kind == TRAINED_KIND:
        raise UsageError("judge_asked_otherwise", profile=settings.name, kind=TRAINED_KIND)
    figures = _some_articles(figures_of(_articles(args)), FIT_PICTURES, args.seed)
    gallery, encoder, about = _pictures(args, figures, draw)
    model = _judge(args, settings)
    seen = gallery if model.sees_images else None
    prompts = load_prompts("en")
    rows = sample_rows(gallery, args.limit, args.seed)
    wanted = wanted_pictures(gallery, encoder, rows, random=RANDOM_PICTURES, seed=args.seed)
    verdicts = judge_wanted(model, prompts, wanted, gallery=seen, progress=partial(draw, say("slots")))
    random = judge_random(model, prompts, wanted, gallery=seen, progress=partial(draw, say("random_pictures")))
    fit, measures = fit_judge(JudgedSlots(wanted, verdicts, random), settings.pictures)
    about = say("eval_judge", about=about, judge=model.identity.name)
    about = say("eval_fitted_captions", captions=len(wanted), about=about)
    verdict = say("judge_adds" if fit.weight else "judge_adds_nothing", gain=fit.gain, low=fit.low, high=fit.high)
    if not args.dry_run and not args.describe:  # what is kept is for libraries that people described
        print(say("wrote", file=save_fit(fit, model.identity, encoder.identity)), file=sys.stderr)
    return measures, f"{about}\n{verdict}"


def _judge(args: argparse.Namespace, settings: Settings) -> VisionLanguageModel:
    """The profile's judge; what it says is kept from one measurement to the next."""
    from composer.evaluation.cached_model import ScoreCache
    from composer.pipeline.loading import load_language_model

    loaded = load_language_model(settings.judge)
    return ScoreCache(loaded, args.scores or _kept() / f"scores-{loaded.identity.sha256[:12]}.jsonl")


def _placement(args: argparse.Namespace, draw: Draw) -> tuple[dict[str, Measure], str]:
    from composer.commands.terminal import say
    from composer.evaluation.abstention import ask_with_and_without, fit_min_fused, measure_abstention
    from composer.evaluation.dataset import EvaluationGallery
    from composer.evaluation.fit_placement import fit_boundaries
    from composer.evaluation.placement import learned_placer, measure_placement, tasks_of
    from composer.evaluation.report import Measure
    from composer.evaluation.whole_article import measure_illustration
    from composer.pipeline.placement_model import PlacementModel, shipped_placement_model
    from vision.training.dataset import figures_of

    articles = _articles(args)
    tasks = tasks_of(articles)
    if args.fit:
        scorer = fit_boundaries([task.illustrated for task in tasks])
        args.fit.write_text(scorer.as_json(), encoding="utf-8")
        print(say("wrote", file=args.fit), file=sys.stderr)
    elif args.boundaries:
        scorer = PlacementModel.from_json(args.boundaries.read_text(encoding="utf-8"))
    else:
        scorer = shipped_placement_model()
    measures = measure_placement(tasks, learned_placer(scorer))
    about = say("eval_articles", count=len(tasks), data=args.data / args.split)
    if args.no_pictures:
        return measures, about
    pictures = _settings(args).pictures
    figures = figures_of(articles)
    if args.fit:
        figures = _some_articles(figures, FIT_PICTURES, 0)
        articles = [article for article in articles if article.id in {figure.article for figure in figures}]
    encoder = _encoder(args)
    gallery = EvaluationGallery.encode(figures, encoder, partial(draw, say("pictures")), _kept())
    asked = ask_with_and_without(gallery, encoder)
    if args.fit:
        return {"min_fused": Measure(fit_min_fused(asked), "fused", pictures.min_fused)}, say(
            "eval_fitted", about=about
        )
    measures |= measure_illustration(articles, gallery, encoder, learned_placer(scorer), pictures)
    measures |= measure_abstention(asked, pictures.min_fused)
    return measures, say("eval_placement", about=about, count=len(figures), encoder=encoder.identity.name)


def _articles(args: argparse.Namespace) -> list[TrainingArticle]:
    from vision.training.dataset import read_articles

    return read_articles(args.data, args.split)


def _some_articles(figures: list[Figure], count: int, seed: int) -> list[Figure]:
    """The pictures of whole articles drawn with the seed, about ``count`` of them."""
    import numpy as np

    names = list(dict.fromkeys(figure.article for figure in figures))
    drawn: list[Figure] = []
    for name in np.random.default_rng(seed).permutation(names):
        if len(drawn) >= count:
            break
        drawn += [figure for figure in figures if figure.article == name]
    return drawn


def _encoder(args: argparse.Namespace) -> JointEncoder:
    if args.encoder:
        from vision.joint_encoder.encoder import load_open_clip_encoder

        return load_open_clip_encoder(args.encoder)
    from composer.pipeline.loading import load_encoder

    return load_encoder(_settings(args))


def _settings(args: argparse.Namespace) -> Settings:
    """Those of ``--profile``, resolved once a command."""
    from composer.commands.profiles import settings_for

    if "settings" not in args:
        args.settings = settings_for(args.profile)
    settings: Settings = args.settings
    return settings


def _kept() -> Path:
    """Where vectors and scores stay from one measurement to the next."""
    from vision.downloads.store import home

    return home() / "evaluation"
