import pytest

from orchestrator.server.metrics import Histogram, Metrics, Record, State, outcome_of


def page(metrics: Metrics) -> list[str]:
    return metrics.text(State(waiting=2, running=1, steps=3, stepped=7, memory_bytes=4096)).splitlines()


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.lines("x") == [
        'x_bucket{le="1.0"} 2',
        'x_bucket{le="2.0"} 3',
        'x_bucket{le="+Inf"} 4',
        "x_sum 12.0",
        "x_count 4",
    ]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "answered"), (400, "refused"), (404, "refused"), (413, "refused"), (429, "overloaded")),
        *((499, "cancelled"), (500, "failed"), (503, "failed"), (504, "timeout")),
    ],
)
def test_each_status_has_an_outcome(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


def test_what_requests_leave_behind() -> None:
    metrics = Metrics()
    answered, refused = Record(metrics), Record(metrics)
    answered.token()
    answered.token()
    answered.end(200, prompt_tokens=7, completion_tokens=2)
    refused.end(400)
    lines = page(metrics)
    for line in (
        'orchestrator_requests_total{outcome="answered"} 1',
        'orchestrator_requests_total{outcome="refused"} 1',
        "orchestrator_request_seconds_count 1",
        "orchestrator_first_token_seconds_count 1",
        "orchestrator_prompt_tokens_total 7",
        "orchestrator_completion_tokens_total 2",
        "orchestrator_requests_waiting 2",
        "orchestrator_requests_running 1",
        "process_resident_memory_bytes 4096",
    ):
        assert line in lines


def test_every_sample_is_told_of_and_typed_once() -> None:
    lines = page(Metrics())
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == typed
    for line in lines:
        if not line.startswith("#"):
            assert any(line.startswith(name) for name in typed)
