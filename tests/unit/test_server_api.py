import base64
import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from orchestrator.server.api import ChatRequest, chat_answer, model_list, parse_chat
from orchestrator.server.conversation import Completion, Sampling
from orchestrator.server.errors import ApiError
from orchestrator.server.images import ImageLimits

LIMITS = ImageLimits(count=1)


def body(**changes: Any) -> bytes:
    return json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}], **changes}).encode()


def refusal(data: bytes) -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse_chat(data, "demo")
    return refused.value


def image_part() -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", (2, 3)).save(file, "PNG")
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", "detail": "low"},
    }


def test_text_alone() -> None:
    (turn,) = parse_chat(body(), "demo").conversation(LIMITS)
    assert (turn.role, turn.parts) == ("user", ("hi",))


def test_text_and_image_keep_their_order() -> None:
    content = [{"type": "text", "text": "a"}, image_part(), {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": content}]
    system, user = parse_chat(body(messages=messages), "demo").conversation(LIMITS)
    assert (system.role, system.parts) == ("system", ("be brief",))
    first, image, last = user.parts
    assert (first, last) == ("a", "b")
    assert isinstance(image, Image.Image)
    assert image.size == (2, 3)


def test_images_are_counted_over_all_messages_before_any_is_decoded() -> None:
    broken = {"type": "image_url", "image_url": {"url": "data:image/png;base64,@"}}
    request = parse_chat(body(messages=[{"role": "user", "content": [broken]}] * 2), "demo")
    with pytest.raises(ApiError, match="at most 1 images in one request, got 2") as refused:
        request.conversation(LIMITS)
    assert refused.value.code == "too_many_images"


def test_sampling_defaults_leave_the_choice_to_the_model() -> None:
    assert parse_chat(body(), "demo").ask(LIMITS).sampling == Sampling()


def test_sampling_as_given() -> None:
    request = parse_chat(body(max_tokens=5, temperature=0, top_p=0.5, seed=1, stop="x"), "demo")
    assert request.ask(LIMITS).sampling == Sampling(5, 0.0, 0.5, 1, ("x",))
    assert parse_chat(body(max_tokens=5, max_completion_tokens=6), "demo").ask(LIMITS).sampling.max_tokens == 6
    assert parse_chat(body(stop=["a", "", "b"]), "demo").ask(LIMITS).sampling.stop == ("a", "b")


def test_options_are_handed_on() -> None:
    assert parse_chat(body(options={"format": True}), "demo").ask(LIMITS).options == {"format": True}
    assert refusal(body(options=[])).param == "options"


def test_a_stream_and_its_usage() -> None:
    assert not parse_chat(body(stream=True), "demo").include_usage
    assert parse_chat(body(stream=True, stream_options={"include_usage": True}), "demo").include_usage


def test_a_refusal_says_what_this_server_can() -> None:
    assert "stream" in refusal(body(tools=[{}])).message
    assert "text and images" in refusal(body(tools=[{}])).message
    assert "max_completion_tokens" in refusal(body(maximum=1)).message


def test_what_changes_nothing_is_accepted() -> None:
    parse_chat(body(n=1, tools=[], logprobs=False, frequency_penalty=0.0, stream=False, user="u"), "demo")
    parse_chat(body(response_format={"type": "text"}, logit_bias=None), "demo")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"new_key": 1}, "new_key"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"stop": list("abcde")}, "stop"),
        ({"n": 2}, "n"),
        ({"tools": [{}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages.0.content.0"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"model": None}, "model"),
    ],
)
def test_a_wrong_request_names_the_parameter(changes: dict[str, Any], param: str) -> None:
    error = refusal(body(**changes))
    assert (error.status, error.param) == (400, param)


def test_another_model() -> None:
    error = refusal(body(model="other"))
    assert (error.status, error.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model":"demo","messages":[{"role":"user","content":"\\ud800"}]}',
        body(temperature=float("nan")),
        body(temperature=float("inf")),
        body()[:-1] + b',"max_tokens":' + b"9" * 5000 + b"}",
    ],
)
def test_a_broken_body(data: bytes) -> None:
    assert refusal(data).status == 400


@pytest.mark.parametrize("content", [b"[0,0,0,0]", b'[{"role":"user","content":[0,0,0,0]}]'])
def test_a_body_full_of_faults_costs_no_more_than_its_first(content: bytes) -> None:
    with pytest.raises(ValidationError) as refused:
        ChatRequest.model_validate_json(b'{"model":"demo","messages":' + content + b"}")
    assert refused.value.error_count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "x" * 10_000},
        {"x" * 10_000: 1},
        {"messages": [{"role": "user", "content": [{"type": "x" * 10_000}]}]},
    ],
)
def test_a_refusal_quotes_little(changes: dict[str, Any]) -> None:
    assert len(json.dumps(refusal(body(**changes)).body())) < 2000


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_messages_give_a_request_or_a_refusal(messages: Any) -> None:
    with contextlib.suppress(ApiError):
        parse_chat(json.dumps({"model": "demo", "messages": messages}).encode(), "demo")


def test_errors_have_the_shape_of_openai() -> None:
    assert ApiError("no", param="p", code="c").body() == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "p", "code": "c"}
    }
    assert ApiError("busy", status=429, retry_after=3).headers == {"Retry-After": "3"}
    error = ApiError("busy", status=503).body()["error"]
    assert isinstance(error, dict)
    assert error["type"] == "server_error"


def test_the_answer() -> None:
    answer = chat_answer(Completion("hello", "stop", 3, 2), request_id="id", created=5, model="demo")
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "hello"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_the_list_of_models() -> None:
    (card,) = model_list("demo", created=1, max_model_len=2048)["data"]
    assert (card["id"], card["max_model_len"]) == ("demo", 2048)
