"""Questions about the article or one of its pictures, answered by the model that wrote it.

A model that cannot see is shown what the library says of a picture, and the answer says so: it must not seem to have
looked. Where nobody has said what a picture shows, no model is asked. Of an answer only those sentences are given that
say what is known: a small model describes what it was not shown, whatever it is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.article.language import detect_language
from composer.article.markdown import join_sections
from composer.article.model import Article
from composer.errors import DraftError, UsageError
from composer.pipeline.conversation import shortened
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.reranking import LOOK_PX
from composer.pipeline.writing.sentence_filter import split_sentences
from composer.sources.support import covered
from composer.studio.action_values import ActionValues
from composer.studio.actions import take_upload
from composer.studio.job_queue import Job, stoppable
from composer.studio.session import ChatTurn, DraftSession
from image_db.metadata.record import ImageRecord
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_QUESTION_CHARS = 4_000
ANSWER_TOKENS = 400
KNOWN_SHARE = 0.5  # of a sentence's words that must be known where nobody looked at the picture it speaks of
_OF_PICTURES = re.compile(
    r"\b(?:pictures?|photos?|photographs?|images?|figures?|shown|shows?)\b|图|照片|画面", re.IGNORECASE
)
_ADMITS = re.compile(
    r"\b(?:(?:cannot|can't|unable to) (?:see|tell|say|describe)|(?:do not|don't) know|not known|no information)\b"
    r"|看不到|看不见|无法|不知道|不清楚|没有说",
    re.IGNORECASE,
)
_REMEMBERED = 6  # earlier questions the model is shown again


def ask(session: DraftSession, values: Mapping[str, Any]) -> None:
    """Add the question to the session's chat and answer it. ``picture`` is an id shown in the article, or empty.

    Raises UsageError for an empty question or an unknown picture.
    """
    given = ActionValues(values)
    question = given.text("question", MAX_QUESTION_CHARS).strip()
    if not question:
        raise UsageError("question_empty")
    picture_id, upload = given.text("picture", 100), given.text("upload", 1_000)
    with session.lock:
        article = session.present()
        record = _picture(session, article, picture_id)
    if upload:
        record = take_upload(session, Path(upload)).record
    with session.lock:
        turn = ChatTurn(question, record)
        earlier = [old for old in session.chat if old.over and old.answer and old.picture == record][-_REMEMBERED:]
        session.chat.append(turn)
        session.keep_chat()
        session.touch()

    def work(job: Job) -> None:
        model = session.models.pipeline(session.library).model
        with session.lock:
            if job.stopping:
                return
            turn.note = _limits(record) if record is not None and not model.sees_images else ""
            if turn.note == "picture_unknown":
                return
        known = "" if model.sees_images else _known(article, record, [*(old.question for old in earlier), question])
        prompt = fitted_prompt(model, article, record, earlier, question)
        sampling = Sampling(max_tokens=ANSWER_TOKENS, temperature=0.3, repetition_penalty=1.05)
        with closing(stoppable(model.stream(prompt, sampling), job)) as chunks:
            for said, left_out in said_of((chunk.text for chunk in chunks), known, every=record is not None):
                with session.lock:
                    turn.answer = said
                    turn.note = "unseen_left_out" if left_out else turn.note
                    session.touch()
        with session.lock:
            if not turn.answer.strip() and turn.note == "unseen_left_out":
                turn.note = "nothing_known"

    def ended(error: Exception | None) -> None:
        turn.over, turn.error = True, error
        try:
            session.keep_chat()
        except DraftError as refused:
            turn.error = turn.error or refused

    turn.job = session.ask(work, ended)


def said_of(pieces: Iterable[str], known: str, *, every: bool) -> Iterator[tuple[str, bool]]:
    """The answer as far as it may be given, after each piece of it, and whether something was left out.

    A sentence that speaks of a picture may be given where it says what ``known`` has, or that something is not known;
    with nothing ``known`` all may be: the model sees. ``every`` sentence speaks of the picture that was asked about.
    """
    given, text, left_out = "", "", False
    for piece in chain(pieces, (None,)):  # None ends the last sentence
        text += piece or ""
        sentences = split_sentences(text)
        for sentence in sentences if piece is None else sentences[:-1]:
            end = text.find(sentence) + len(sentence) if sentence in text else len(text)
            said, text = text[:end], text[end:]
            if not known or _may_say(said, known, every):
                given += said
            else:
                left_out = True
        held = bool(known) and (every or _OF_PICTURES.search(text) is not None)
        yield given if held and text.strip() else given + text, left_out


def _may_say(sentence: str, known: str, every: bool) -> bool:
    if not every and not _OF_PICTURES.search(sentence):
        return True
    return bool(_ADMITS.search(sentence)) or covered(sentence, known) >= KNOWN_SHARE


def _limits(record: ImageRecord) -> str:
    """What a model that does not see has to go by, as a key of the page's words."""
    if not record.is_described:
        return "picture_unknown"
    drafted = record.caption_origin == "generated" and not record.alt
    return "reads_drafted" if drafted else "reads_words"


def _known(article: Article, record: ImageRecord | None, questions: list[str]) -> str:
    """All that may be said of a picture: its words, or for the article its text and captions; and what was asked."""
    if record is not None:
        said = [value for language in ("en", "zh") for _, value in _words(record, language) if value]
    else:
        said = [article.title, join_sections(article.sections), *(p.caption for p in article.placements)]
    return "\n".join([*said, *questions])


def stop_answers(session: DraftSession) -> None:
    """End what is being answered and what waits for it; what was said so far stays."""
    with session.lock:
        for turn in session.chat:
            if not turn.over and turn.job is not None:
                turn.note = "answer_stopped"
                turn.job.stop()
        session.touch()


def fitted_prompt(
    model: VisionLanguageModel, article: Article, record: ImageRecord | None, earlier: list[ChatTurn], question: str
) -> Prompt:
    """The conversation with as much of the article as the model can read."""
    budget = model.context_tokens - ANSWER_TOKENS - 16
    chars: int | None = None
    while True:
        prompt = _prompt(model, article, record, earlier, question, chars)
        if model.count_tokens(prompt) <= budget or (chars is not None and chars < 60):
            return prompt
        longest = max(len(section.text) for section in article.sections)
        chars = (longest if chars is None else chars) * 3 // 4


def _prompt(
    model: VisionLanguageModel,
    article: Article,
    record: ImageRecord | None,
    earlier: list[ChatTurn],
    question: str,
    chars: int | None,
) -> Prompt:
    language = detect_language(question)
    prompts = load_prompts(language)
    turns = [Message.of("system", prompts.chat_system)]
    for number, (asked, answer) in enumerate([*((old.question, old.answer) for old in earlier), (question, "")]):
        content: tuple[str | Image, ...] = (asked,)
        if number == 0 and record is None:
            shown = prompts.chat_article.format(article=f"# {article.title}\n\n{_text(article, chars)}")
            captions = [f"- {placement.caption}" for placement in article.placements if placement.caption]
            if captions and not model.sees_images:
                shown += "\n\n" + prompts.chat_captions.format(captions="\n".join(captions))
            content = (f"{shown}\n\n{asked}",)
        elif number == 0 and record is not None:
            content = _about(model, record, asked, language, prompts)
        turns.append(Message("user", content))
        if answer:
            turns.append(Message.of("assistant", answer))
    return turns


def _text(article: Article, chars: int | None) -> str:
    return join_sections(article.sections) if chars is None else shortened(article.sections, chars)


def _about(
    model: VisionLanguageModel, record: ImageRecord, question: str, language: str, prompts: Prompts
) -> tuple[str | Image, ...]:
    if model.sees_images:
        from vision.images import load_image

        return (load_image(record.path, target_px=LOOK_PX), prompts.chat_picture.format(question=question))
    words = "\n".join(f"{name}: {value}" for name, value in _words(record, language) if value)
    return (prompts.chat_words.format(words=words, question=question),)


def _words(record: ImageRecord, language: str) -> list[tuple[str, str]]:
    return [
        ("caption", record.caption_in(language)),
        ("description", record.alt),
        ("tags", ", ".join((*record.tags, *record.guessed_tags))),
        ("author", record.author),
        ("licence", record.license),
        ("file", record.path.stem),
        ("size", f"{record.width_px} × {record.height_px} pixels"),
    ]


def _picture(session: DraftSession, article: Article, picture_id: str) -> ImageRecord | None:
    if not picture_id:
        return None
    for placement in article.placements:
        if placement.chosen is not None and placement.chosen.id == picture_id:
            return placement.chosen
    if picture_id in session.found:
        return session.found[picture_id].record
    raise UsageError("picture_gone")
