"""Renders the chat template that comes with a model: a stranger's program, which gets little to work with.

Jinja's sandbox keeps templates from Python's internals. Here they also run on a budget of steps, seconds and
characters, so that neither nested loops nor strings that double hold the program up. Conventions are transformers'
(https://huggingface.co/docs/transformers/chat_templating).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from vision.errors import ModelError, WeightsError

MOST_STEPS = 1_000_000  # turns of loops, calls, and values looked at; a hundred messages take some thousands
MOST_SECONDS = 5.0
MOST_CHARACTERS = 1 << 20  # of any text a template makes, beside what the conversation holds
_LONGEST_TEMPLATE = 1 << 18
_MOST_INDENT = 16
# One call of these makes a text of any length out of nothing.
_UNBOUNDED_FILTERS = ("batch", "center", "format", "pprint", "slice", "urlize", "wordwrap", "xmlattr")
_UNBOUNDED_METHODS = {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "translate", "zfill"}


class _Budget:
    """What one rendering has left. Raises SecurityError when it is spent."""

    def __init__(self, most_characters: int) -> None:
        self._steps, self._end_s, self._most_characters = MOST_STEPS, time.monotonic() + MOST_SECONDS, most_characters

    def step(self) -> None:
        self._steps -= 1
        if self._steps < 0 or time.monotonic() > self._end_s:
            raise SecurityError("it takes too long")

    def length(self, characters: int) -> None:
        if characters > self._most_characters:
            raise SecurityError("it makes too long a text")

    def value(self, *values: object) -> None:
        """Count all that is in some values: lists that hold one list twice grow without taking up memory."""
        todo = list(values)
        while todo:
            self.step()
            value = todo.pop()
            if isinstance(value, str):
                self.length(len(value))
            elif isinstance(value, dict):
                todo += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple)):
                todo += value


# A template is a program: it may add a number to a text, or call itself without end.
_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
_budget: ContextVar[_Budget] = ContextVar("budget")


class ChatProgram:
    """A compiled template. Threads may share one. Raises WeightsError for a template that cannot be read."""

    def __init__(self, source: str, model: str) -> None:
        self._model = model
        environment = _Environment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _GenerationTag],
            optimized=False,
            finalize=_printed,
        )
        try:
            if len(source) > _LONGEST_TEMPLATE:
                raise SecurityError(f"it has {len(source)} characters")
            tree = _Counting().visit(environment.parse(source))
            self._template = environment.from_string(tree.set_environment(environment))
        except (TemplateError, RecursionError, SyntaxError, ValueError) as error:
            raise WeightsError("template_unreadable", model=model, reason=str(error)[:200]) from error

    def render(self, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """``messages`` have a role, and as content a text or parts of ``{"type": "text", "text": ...}``.

        Raises ModelError where the template refuses the conversation or spends its budget.
        """
        budget = _Budget(MOST_CHARACTERS + 4 * sum(_characters(message["content"]) for message in messages))
        before = _budget.set(budget)
        text = ""
        try:
            for part in self._template.generate(messages=messages, **variables):
                text += part
                budget.length(len(text))
        except _FAILURES as error:
            raise ModelError("template_refuses", model=self._model, reason=str(error)[:200]) from error
        finally:
            _budget.reset(before)
        return text


def _characters(content: str | Sequence[Mapping[str, str]]) -> int:
    return len(content) if isinstance(content, str) else sum(len(part.get("text", "")) for part in content)


class _GenerationTag(Extension):
    """``{% generation %}`` marks an assistant's words for training; they are rendered as they stand."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Counting(NodeTransformer):
    """Sends the turns of every loop, and what ``~`` joins, through filters that count."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        if node.recursive:
            raise SecurityError("it has a recursive loop")
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        kept = {name: filter_ for name, filter_ in self.filters.items() if name not in _UNBOUNDED_FILTERS}
        self.filters = {name: _guarded(filter_) for name, filter_ in kept.items()}
        self.filters |= {"counted": _counted, "join": _join, "replace": _replace, "tojson": _to_json}
        self.filters["indent"] = lambda text, width=4, first=False, blank=False: kept["indent"](
            text, min(width, _MOST_INDENT), first, blank
        )
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace")}
        self.globals["raise_exception"] = _refuse

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and not (isinstance(obj, str) and attr in _UNBOUNDED_METHODS)

    def wrap_str_format(self, value: Any) -> None:
        """Jinja would let str.format pass with attributes guarded; here it does not pass at all."""

    def call(self, context: Any, function: Any, /, *args: Any, **options: Any) -> Any:
        _budget.get().value(*args, *options.values())
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(owner, str) and name in ("join", "replace"):
            return _join(args[0], owner) if name == "join" else _replace(owner, *args)
        found = super().call(context, function, *args, **options)
        _budget.get().value(found)
        return found

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        budget = _budget.get()
        sizes = [len(side) if isinstance(side, (str, list, tuple)) else 0 for side in (left, right)]
        if operator == "+":
            budget.length(sum(sizes))
        elif operator == "*" and any(sizes):
            budget.length(max(sizes) * max(1, *(side for side in (left, right) if isinstance(side, int))))
        elif operator == "%" and isinstance(left, str):
            raise SecurityError("it formats a text with %")
        elif any(isinstance(side, int) and abs(side) >= 1 << 32 for side in (left, right)) or (
            operator == "**" and abs(right) > 64
        ):
            raise SecurityError("it computes with too large a number")
        return super().call_binop(context, operator, left, right)


def _guarded(filter_: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **options: Any) -> Any:
        budget = _budget.get()
        budget.value(*args, *options.values())
        found = filter_(*args, **options)
        budget.value(found)
        return found

    if (takes := getattr(filter_, "jinja_pass_arg", None)) is not None:
        guarded.jinja_pass_arg = takes  # type: ignore[attr-defined]
    return guarded


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    budget = _budget.get()
    for item in items:
        budget.step()
        yield item


def _join(items: Iterable[Any], separator: str = "") -> str:
    budget = _budget.get()
    parts = []
    for item in _counted(items):
        budget.value(item)
        parts.append(str(item))
    budget.length(sum(map(len, parts)) + len(str(separator)) * len(parts))
    return str(separator).join(parts)


def _replace(text: Any, old: str, new: str, count: int = -1) -> str:
    budget = _budget.get()
    budget.value(text, old, new)
    whole = str(text)
    budget.length(len(whole) + whole.count(str(old)) * len(str(new)))
    return whole.replace(str(old), str(new), -1 if count is None else count)


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    _budget.get().value(value)
    return json.dumps(
        value, ensure_ascii=False, indent=None if indent is None else min(indent, _MOST_INDENT), **options
    )


def _printed(value: Any) -> Any:
    _budget.get().value(value)
    return value


def _refuse(message: str) -> None:
    raise TemplateError(message)
