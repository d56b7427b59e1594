"""One conversation about one article: the turns in which it was written or read, and the questions that follow.

Every question is asked at the end of the same turns, so that a model's key-value cache holds the article once for
captions and choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from composer.article.markdown import join_sections, plain_text
from composer.article.model import Section
from composer.article.remarks import may_hold_remarks
from composer.pipeline.prompts import Prompts
from vision.interfaces import Message, Prompt, VisionLanguageModel

OPENING_CHARS = 70
# Left free for questions with their candidates and the answers, in tokens.
QUESTION_TOKENS = 1400


@dataclass(frozen=True, slots=True)
class Conversation:
    """FairLock ending with one of the model's own, to which a question may be added."""

    turns: tuple[Message, ...]

    def ask(self, question: str, answer_prefix: str) -> Prompt:
        """The prompt whose continuation answers; the answer's start is given."""
        return (*self.turns, Message.of("user", question), Message.of("assistant", answer_prefix))


def reading(
    prompts: Prompts,
    model: VisionLanguageModel,
    title: str,
    sections: Sequence[Section],
    budget: int | None = None,
) -> tuple[Conversation, bool]:
    """The model reads a finished text. True where the text had to be shortened to fit ``budget`` tokens, by default
    its context window without room for questions."""
    sections = [replace(s, text=plain_text(s.text)) if may_hold_remarks(s.text) else s for s in sections]
    budget = model.context_tokens - QUESTION_TOKENS if budget is None else budget

    def build(chars: int | None) -> Conversation:
        article = f"# {title}\n\n{shortened(sections, chars)}"
        return Conversation(
            (
                Message.of("system", prompts.system),
                Message.of("user", prompts.read.format(article=article)),
                Message.of("assistant", prompts.read_answer),
            )
        )

    whole = build(None)
    if model.count_tokens(whole.turns) <= budget:
        return whole, False
    chars = max(len(section.text) for section in sections)
    while chars > 40:
        chars = chars * 3 // 4
        conversation = build(chars)
        if model.count_tokens(conversation.turns) <= budget:
            return conversation, True
    return build(40), True


def shortened(sections: Sequence[Section], chars: int | None) -> str:
    """The text with each section cut to its first ``chars`` characters, at a word where it has words."""
    if chars is None:
        return join_sections(tuple(sections)).strip()
    return "\n\n".join(clip(section.text, chars) for section in sections)


def opening(section: Section, chars: int = OPENING_CHARS) -> str:
    """What names a section in a question about the article: its heading, or how it begins."""
    return section.heading or clip(plain_text(section.body), chars)


def clip(text: str, chars: int) -> str:
    """The beginning of a text, ending at a word where it has words."""
    if len(text) <= chars:
        return text
    cut = text[:chars]
    space = cut.rfind(" ")
    return (cut[:space] if space > chars // 2 else cut).rstrip() + " …"
