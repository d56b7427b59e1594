"""A model behind an OpenAI-compatible server: what it writes, scores and sees, and what faults cost."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from PIL import Image

from composer.i18n import localize
from tests.vision.served.stand_in import NAME, StandIn, cut, failing_stream, garbage, silence, status, text_of
from vision.errors import KeyedError, ModelError, Phrase, PromptTooLong
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel
from vision.served.connection import LONGEST_PAUSE_S, PassingFault, Pauses
from vision.served.model import ServedModel, load_served_model

PROMPT: Prompt = (Message.of("system", "Be brief."), Message.of("user", "Count."))
OPEN: Prompt = (*PROMPT, Message.of("assistant", "Answer:"))
WORDS = " one two three four five six"


def load(server: StandIn, model: str = "", **options: Any) -> ServedModel:
    loaded = load_served_model(
        server.url, model, **({"first_pause_s": 0.001, "timeout_s": 10, "rng": random.Random(0)} | options)
    )
    server.asked.clear()
    server.most_at_once = 0
    return loaded


@pytest.fixture(scope="module")
def vllm() -> Iterator[StandIn]:
    with StandIn(sees=True) as server:
        yield server


@pytest.fixture(scope="module")
def _model(vllm: StandIn) -> Iterator[ServedModel]:
    model = load(vllm)
    yield model
    model.close()


@pytest.fixture
def model(vllm: StandIn, _model: ServedModel) -> ServedModel:
    vllm.asked.clear()
    vllm.faults.clear()
    vllm.most_at_once = 0
    return _model


def written(model: VisionLanguageModel, prompt: Prompt = PROMPT, **sampling: Any) -> str:
    return "".join(chunk.text for chunk in model.stream(prompt, Sampling(**sampling)))


# Writing


def test_a_served_model_is_a_model_like_any_other(model: ServedModel) -> None:
    assert isinstance(model, VisionLanguageModel)
    assert (model.identity.name, len(model.identity.sha256), model.sees_images) == (NAME, 64, True)
    assert model.context_tokens == 2048  # the server's own, below the 8192 that were asked for
    assert model.notice is None


def test_text_streams_with_its_reason_to_end_and_is_counted(model: ServedModel) -> None:
    before = model.usage.copy()
    chunks = list(model.stream(PROMPT, Sampling(max_tokens=4)))
    assert "".join(chunk.text for chunk in chunks) == " one two three four"
    assert [chunk.finish for chunk in chunks] == [None] * 4 + ["length"]
    used = model.usage.since(before)
    assert (used.generated_tokens, used.cached_tokens) == (4, 2)
    assert used.prompt_tokens > 4


def test_what_was_asked_for_reaches_the_server(vllm: StandIn, model: ServedModel) -> None:
    written(model, OPEN, temperature=0.3, top_p=0.8, repetition_penalty=1.1, seed=7, stop=("\n\n",))
    (body,) = vllm.asked
    wanted = {"temperature": 0.3, "top_p": 0.8, "seed": 7, "stop": ["\n\n"], "repetition_penalty": 1.1, "model": NAME}
    assert {name: body[name] for name in wanted} == wanted
    assert body["continue_final_message"]
    assert not body["add_generation_prompt"]


def test_the_start_of_an_answer_is_gone_on_from(model: ServedModel) -> None:
    begun = (*PROMPT, Message.of("assistant", "one two"))
    assert written(model, (*PROMPT, Message.of("assistant", " one two"))) == " three four five six"
    assert written(model, begun).startswith(" ")


def test_the_prompts_of_a_batch_are_under_way_at_once(vllm: StandIn, model: ServedModel) -> None:
    vllm.gate = threading.Barrier(4)  # nobody is answered before all four have asked
    try:
        texts = [""] * 4
        for chunk in model.stream_batch([PROMPT] * 4, [Sampling(max_tokens=n) for n in (1, 2, 3, 4)]):
            texts[chunk.index] += chunk.text
    finally:
        vllm.gate = threading.Barrier(1)
    assert texts == [" one", " one two", " one two three", " one two three four"]


def test_no_more_requests_are_under_way_than_the_profile_allows(vllm: StandIn) -> None:
    model = load(vllm, at_once=2)
    list(model.stream_batch([PROMPT] * 6, [Sampling()] * 6))
    assert vllm.most_at_once <= 2
    model.close()


def test_a_stream_may_be_left_at_any_token(model: ServedModel) -> None:
    stream = model.stream(PROMPT, Sampling())
    assert next(stream).text == " one"
    stream.close()
    assert written(model) == WORDS


def test_callers_count_what_they_used_themselves(model: ServedModel) -> None:
    first, second = model.caller(), model.caller()
    before = model.usage.copy()
    written(first, max_tokens=2)
    second.score(OPEN, [" yes", " no"])
    assert (first.usage.generated_tokens, second.usage.generated_tokens) == (2, 1)
    assert model.usage.since(before).generated_tokens == 3


def test_text_of_strangers_cannot_end_a_turn(vllm: StandIn, model: ServedModel) -> None:
    written(model, (Message.of("user", "a <|im_end|> b <start_of_turn>c </s> [/INST] 1 < 2 <b>bold</b>"),))
    said = text_of(vllm.asked[0]["messages"][0])
    assert not any(mark in said for mark in ("<|im_end|>", "<start_of_turn>", "</s>", "[/INST]"))
    assert "1 < 2 <b>bold</b>" in said


def test_the_tokens_of_a_prompt_are_rather_over_than_underestimated(model: ServedModel) -> None:
    english = "The hens of the farm lay their eggs in the straw of the old barn every morning. " * 20
    assert 300 * 1.0 < model.count_tokens((Message.of("user", english),)) < 300 * 2.5
    assert model.count_tokens((Message.of("user", "农场" * 100),)) >= 200


# Pictures


def test_pictures_are_sent_as_jpeg_and_written_once(vllm: StandIn, model: ServedModel) -> None:
    picture = Image.new("RGB", (40, 30), "red")
    prompt = (Message("user", ("What is it? ", picture, " A wall?")),)
    written(model, prompt)
    written(model, prompt)
    parts = vllm.asked[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "text"]
    assert parts[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert vllm.asked[0]["messages"] == vllm.asked[1]["messages"]
    assert len(model._writer._pictures) == 1


@pytest.mark.parametrize("kind", ["vllm", "plain"])
def test_a_server_that_does_not_look_at_pictures_is_known_by_it(kind: str) -> None:
    with StandIn(kind=kind, sees=False) as server:
        model = load(server)
        assert not model.sees_images
        with pytest.raises(ModelError) as refused:
            written(model, (Message("user", (Image.new("RGB", (8, 8)),)),))
        assert refused.value.key == "model_sees_nothing"
        model.close()


# Scores


def test_options_are_scored_token_by_token() -> None:
    after = {
        "Answer:": {" ye": math.log(0.5), " yes": math.log(0.2), " n": math.log(0.25)},
        "Answer: n": {"o": math.log(0.8), "e": math.log(0.1)},
    }
    with StandIn(listed=lambda said: after.get(said, {" x": -0.1})) as server:
        model = load(server)
        yes, no = model.score(OPEN, [" yes", " no"])
        assert yes == pytest.approx(math.log(0.2))
        assert no == pytest.approx(math.log(0.25) + math.log(0.8))
        (absent,) = model.score(OPEN, [" maybe"])
        assert absent == pytest.approx(math.log(0.05))  # what is left beside the listed tokens
        model.close()


def test_a_batch_of_scores_is_asked_at_once_and_in_order(vllm: StandIn, model: ServedModel) -> None:
    vllm.gate = threading.Barrier(3)
    try:
        scores = model.score_batch([OPEN] * 3, [[" yes"], [" no"], [" no", " yes"]])
    finally:
        vllm.gate = threading.Barrier(1)
    yes, no = pytest.approx(math.log(0.6)), pytest.approx(math.log(0.3))
    assert scores == [[yes], [no], [no, yes]]
    assert model.score_batch([], []) == []
    assert model.score(OPEN, []) == []
    with pytest.raises(ModelError) as refused:
        model.score(OPEN, [""])
    assert refused.value.key == "option_empty"


def test_a_server_that_closes_turns_is_asked_to_go_on_and_says_so() -> None:
    with StandIn("Answer: Yes, of course", kind="openai", listed=lambda said: {"Yes": -0.1, "no": -3.0}) as server:
        model = load(server)
        assert model.notice is not None
        assert model.notice.key == "server_closes_turns"
        assert written(model, OPEN) == " Yes, of course"  # its repetition of the start is left out
        assert [m["role"] for m in server.asked[-1]["messages"]] == ["system", "user", "assistant", "user"]
        assert "continue_final_message" not in server.asked[-1]
        assert model.score(OPEN, [" yes", " no"]) == pytest.approx([-0.1, -3.0])
        model.close()


def test_without_log_probabilities_answers_are_drawn_and_counted() -> None:
    with StandIn(" yes, it does", kind="plain") as server:
        model = load(server)
        assert model.notice is not None
        assert model.notice.key == "server_draws_scores"
        yes, no = model.score(OPEN, [" yes", " no"])
        assert (yes, no) == (pytest.approx(math.log(8.5 / 9.5)), pytest.approx(math.log(0.5 / 9.5)))
        drawn = [body["seed"] for body in server.asked]
        assert sorted(drawn) == list(range(8))
        model.close()


# Names, keys, addresses


@pytest.mark.parametrize("name", ["", f"  {NAME}\n"])
def test_a_name_is_stripped_and_may_be_left_out_where_one_model_is_served(vllm: StandIn, name: str) -> None:
    model = load(vllm, name)
    assert model.identity.name == NAME
    model.close()


def test_a_name_that_is_not_served_is_told_with_those_that_are(vllm: StandIn) -> None:
    with pytest.raises(ModelError) as refused:
        load(vllm, "model-2")
    assert refused.value.key == "server_model_unknown"
    assert refused.value.values["known"] == [NAME]
    with StandIn(models=("a", "b:latest")) as several:
        with pytest.raises(ModelError) as unnamed:
            load(several)
        assert unnamed.value.key == "server_model_unnamed"
        model = load(several, "b")
        assert model.identity.name == "b:latest"
        model.close()


def test_the_key_comes_from_the_environment_and_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn(key="secret-key") as server:
        monkeypatch.delenv("VIGNETTE_SERVER_KEY", raising=False)
        with pytest.raises(ModelError) as wanted:
            load(server)
        assert (wanted.value.key, wanted.value.values["variable"]) == ("server_wants_key", "VIGNETTE_SERVER_KEY")
        monkeypatch.setenv("MY_KEY", "wrong-key")
        with pytest.raises(ModelError) as refused:
            load(server, key_variable="MY_KEY")
        assert refused.value.key == "server_refuses_key"
        assert "wrong-key" not in localize(refused.value, "en")
        monkeypatch.setenv("MY_KEY", " secret-key\n")
        model = load(server, key_variable="MY_KEY")
        assert written(model) == WORDS
        model.close()


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("http://anna:secret@127.0.0.1:1/v1", "server_address_holds_key"),
        ("127.0.0.1:8000", "server_address_wrong"),
        ("ftp://127.0.0.1/v1", "server_address_wrong"),
        ("http://", "server_address_wrong"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(address: str, key: str) -> None:
    with pytest.raises(ModelError) as refused:
        load_served_model(address)
    assert refused.value.key == key
    assert "secret" not in localize(refused.value, "en")


def test_an_address_without_the_api_says_so(vllm: StandIn) -> None:
    with pytest.raises(ModelError) as refused:
        load_served_model(vllm.url.removesuffix("/v1"))
    assert refused.value.key == "server_no_api"


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503),
        status(429, headers={"retry-after": "0"}),
        cut(0),
        cut(3),
        garbage,
        failing_stream,
    ],
    ids=["500", "503", "429", "cut at once", "cut", "garbage", "error in the stream"],
)
def test_a_fault_that_passes_loses_nothing(vllm: StandIn, model: ServedModel, fault: Any) -> None:
    vllm.faults = [fault, fault]
    assert written(model) == WORDS  # nothing is missing, nothing stands there twice
    vllm.faults = [fault, fault]
    assert written(model, (*PROMPT, Message.of("assistant", " one two"))).endswith(" three four five six")
    vllm.faults = [garbage, status(502)]
    assert model.score(OPEN, [" yes"]) == pytest.approx([math.log(0.6)])


def test_a_long_text_may_be_cut_off_more_often_than_a_request_is_tried(vllm: StandIn, model: ServedModel) -> None:
    vllm.faults = [cut(1)] * 5
    assert written(model) == WORDS
    asked = [body["max_tokens"] for body in vllm.asked]
    assert asked == [512, 511, 510, 509, 508, 507]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(status(500, "out of memory"), "server_status"), (garbage, "server_garbage"), (cut(0), "server_cut")],
)
def test_a_fault_that_stays_is_one_clear_line(fault: Any, reason: str) -> None:
    with StandIn() as server:
        model = load(server, tries=3)
        server.faults = [fault] * 3
        with pytest.raises(ModelError) as told:
            model.score(OPEN, [" yes"]) if reason != "server_cut" else written(model)
        assert told.value.key == "server_gave_up"
        assert told.value.values["tries"] == 3
        assert told.value.values["reason"].key == reason  # type: ignore[attr-defined]
        assert "\n" not in localize(told.value, "en")
        assert written(model) == WORDS  # the next one is as good as new
        model.close()


def test_silence_ends_after_the_time_out_and_is_tried_again() -> None:
    with StandIn() as server:
        model = load(server, timeout_s=0.15, tries=2)
        server.faults = [silence]
        assert written(model) == WORDS
        server.faults = [silence, silence]
        with pytest.raises(ModelError) as told:
            written(model)
        assert told.value.values["reason"].key == "server_silent"  # type: ignore[attr-defined]
        model.close()


def test_what_a_model_that_is_gone_or_a_prompt_too_long_costs_is_one_request(vllm: StandIn, model: ServedModel) -> None:
    vllm.faults = [status(404, "The model `x` does not exist.")]
    with pytest.raises(ModelError) as gone:
        written(model)
    assert (gone.value.key, gone.value.values["status"]) == ("server_refuses", 404)
    vllm.faults = [status(400, "This model's maximum context length is 2048 tokens. However, you requested 9000")]
    with pytest.raises(PromptTooLong):
        written(model)
    assert len(vllm.asked) == 2


def test_one_prompt_s_fault_ends_a_batch_with_that_fault(vllm: StandIn, model: ServedModel) -> None:
    vllm.faults = [None, status(404, "gone")]
    with pytest.raises(ModelError) as told:
        list(model.stream_batch([PROMPT] * 3, [Sampling()] * 3))
    assert told.value.key == "server_refuses"
    assert written(model) == WORDS


def test_where_nobody_listens_it_says_so() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(ModelError) as told:
        load_served_model(address, tries=2, first_pause_s=0.001)
    assert told.value.values["reason"].key == "server_not_reached"  # type: ignore[attr-defined]


def test_a_model_that_is_closed_says_so(vllm: StandIn) -> None:
    model = load(vllm)
    model.close()
    model.close()
    for use in (lambda: written(model), lambda: model.score(OPEN, [" yes"])):
        with pytest.raises(ModelError) as told:
            use()
        assert told.value.key == "model_closed"


def test_a_model_that_only_thinks_is_found_out(vllm: StandIn, model: ServedModel) -> None:
    def thinking(handler: Any, body: dict[str, Any]) -> bool:
        handler.begin_stream()
        handler.event({"choices": [{"delta": {"reasoning_content": "Hm"}}]})
        handler.event({"choices": [{"delta": {}, "finish_reason": "length"}]})
        handler.chunk(b"data: [DONE]\n\n")
        handler.chunk(b"")
        return True

    vllm.faults = [thinking]
    with pytest.raises(ModelError) as told:
        written(model)
    assert told.value.key == "server_only_thinks"


def test_pauses_double_and_obey_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def no_sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("vision.served.connection.asyncio.sleep", no_sleep)

    async def fail(*asked: float | None) -> None:
        pauses = Pauses("http://x/v1", 5, 1.0, random.Random(1))
        for pause_s in asked:
            await pauses.after(_fault(pause_s))

    asyncio.run(fail(None, None, None, 7.0))
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(waited[:3])] == [True] * 3
    assert waited[3] == 7.0
    with pytest.raises(KeyedError):
        asyncio.run(fail(*[10_000.0] * 5))
    assert max(waited) == LONGEST_PAUSE_S


def _fault(pause_s: float | None) -> PassingFault:
    return PassingFault(Phrase("server_cut"), pause_s)


def test_retry_after_may_be_a_date(vllm: StandIn, model: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []
    original = Pauses.after

    async def note(self: Pauses, fault: PassingFault) -> None:
        asked.append(fault.pause_s)
        fault.pause_s = None
        await original(self, fault)

    monkeypatch.setattr(Pauses, "after", note)
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    vllm.faults = [status(429, headers={"retry-after": value}) for value in ("3", later, "soon")]
    assert written(model) == WORDS
    assert asked[0] == 3.0
    assert asked[1] == pytest.approx(30, abs=5)
    assert asked[2] is None
