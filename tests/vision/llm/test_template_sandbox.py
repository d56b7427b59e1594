"""Chat templates render as plain Jinja does, and none holds the program up."""

from __future__ import annotations

import time

import pytest
from jinja2 import Environment

from tests.vision.tiny_gguf import TEMPLATE
from vision.errors import ModelError, WeightsError
from vision.llm.template_sandbox import ChatProgram

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name <two> birds, 好吗?"},
    {"role": "assistant", "content": "<think>hm</think>Owl. Wren."},
    {"role": "user", "content": "And one more?"},
]
VARIABLES = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "tools": None}
LOOP = "{% set n = namespace(s='xx', l=[1], i=7) %}{% for i in range(60) %}%s{% endfor %}"
# What templates of published models are made of.
LIKE_PUBLISHED = (
    TEMPLATE,
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] | trim + ' [/I]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' ~ m['content'] ~ eos_token }}{% endif %}{% endfor %}",
    "{%- set ns = namespace(last=0, seen=[]) %}"
    "{%- for m in messages[::-1] %}{%- set i = messages | length - 1 - loop.index0 %}"
    "{%- if m.role == 'user' and not ns.last %}{%- set ns.last = i %}{%- endif %}{%- endfor %}"
    "{%- macro turn(m, extra='') %}<|{{ m.role }}|>"
    "{{ m.content.split('</think>')[-1].lstrip('\\n') }}{{ extra }}{% endmacro %}"
    "{%- for m in messages if m.role != 'system' %}{{ turn(m, '!' if loop.last else '') }}"
    "{{ loop.length }}/{{ loop.index }}"
    "{%- if not loop.first and loop.previtem.role == 'user' %}<{{ m | tojson }}>{% endif %}{%- endfor %}{{ ns.last }}",
    "{% for m in messages %}{% if loop.index0 % 2 == 5 %}{{ raise_exception('no') }}{% endif %}"
    "{{ m.items() | list | length }}{{ ', '.join(['a', m.role]) }}{{ m.content | replace('o', '0') | upper }}"
    "{{ m.content.replace('e', '3') }}{{ ['x', 'y'] | join('-') }}{% for k, v in m.items() %}{{ k }}{% endfor %}"
    "{% for z in [] %}{% else %}none{% endfor %}{{ 'a' * 3 }}{{ range(3) | list }}{% break %}{% endfor %}",
)


@pytest.mark.parametrize("source", LIKE_PUBLISHED)
def test_a_template_renders_as_in_plain_jinja(source: str) -> None:
    plain = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    plain.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    plain.filters["tojson"] = lambda value: __import__("json").dumps(value, ensure_ascii=False)
    expected = plain.from_string(source).render(messages=MESSAGES, **VARIABLES)
    assert ChatProgram(source, "tiny").render(MESSAGES, **VARIABLES) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in 'x' * 99999 %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 9999999999 }}",
        "{{ [0] * 9999999999 }}",
        LOOP.replace("%s", "{% set n.s = n.s + n.s %}"),
        LOOP.replace("%s", "{% set n.s = n.s ~ n.s %}"),
        LOOP.replace("%s", "{% set n.s = n.s.replace('x', 'xx') %}"),
        LOOP.replace("%s", "{% set n.s = n.s | replace('x', 'xx') %}"),
        LOOP.replace("%s", "{% set n.s = n.s.join([n.s, n.s]) %}"),
        LOOP.replace("%s", "{% set n.l = [n.l, n.l] %}") + "{{ n.l }}",
        LOOP.replace("%s", "{% set n.l = [n.l, n.l] %}") + "{{ n.l | tojson }}",
        LOOP.replace("%s", "{% set n.i = n.i * n.i %}"),
        "{{ 9 ** 9999999 }}",
        "{{ 'x'.ljust(9999999999) }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '{:9999999999}'.format(1) }}",
        "{% for i in range(99999) %}{{ messages[0].content }}{{ 'long' * 99999 }}{% endfor %}",
        "{{ messages[0].__class__ }}{{ messages.append(1) }}",
        "{{ nothing.here() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_takes_all_time_or_memory_is_stopped(source: str) -> None:
    start = time.process_time()
    with pytest.raises(ModelError, match="template_refuses: model=tiny"):
        ChatProgram(source, "tiny").render(MESSAGES, **VARIABLES)
    assert time.process_time() - start < 7


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in",
        "{{ 'x' | center(9999999999) }}",
        "{% for a in messages recursive %}{{ loop(range(99999)) }}{% endfor %}",
        "x" * 300_000,
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% include 'other' %}" * 2 + "{% endfor %}",
    ],
)
def test_a_template_that_cannot_be_read_is_refused(source: str) -> None:
    with pytest.raises(WeightsError, match="template_unreadable: model=tiny"):
        ChatProgram(source, "tiny")


def test_a_long_conversation_stays_within_the_budget() -> None:
    long = [{"role": ("user", "assistant")[i % 2], "content": f"{i} " * 2000} for i in range(400)]
    for source in LIKE_PUBLISHED:
        assert len(ChatProgram(source, "tiny").render(long, **VARIABLES)) > 100
