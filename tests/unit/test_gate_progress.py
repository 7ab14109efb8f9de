"""How far a start is, from the lines that engines really print and from what is seen of their processes."""

from __future__ import annotations

import pytest

from orchestrator.gate.progress import BOOT, LOAD, WARM_UP, WEIGHTS, Look, Progress, after_lines, after_look

# vLLM 0.32.0 on a CPU, tiny weights, as it was seen; the paths are shortened. Phase and text after each line.
VLLM_CPU = [
    ("W1129 18:03:15.006000 31005 torch/_library/triton.py:53] Triton not available", BOOT, ""),
    (
        "(APIServer pid=31005) INFO 11-29 18:03:15 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0",
        BOOT,
        "",
    ),
    (
        "(APIServer pid=31005) INFO 11-29 18:03:40 [model.py:733] Resolved architecture: Qwen2VLForConditionalGeneration",  # noqa: E501
        BOOT,
        "Qwen2VLForConditionalGeneration",
    ),
    (
        "(APIServer pid=31005) INFO 11-29 18:03:42 [base.py:280] Multi-modal warmup completed in 0.440s",
        BOOT,
        "Qwen2VLForConditionalGeneration",
    ),
    (
        "(EngineCore pid=717) INFO 11-29 18:04:03 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model=",  # noqa: E501
        BOOT,
        "engine begins",
    ),
    ("(Worker pid=1395) INFO 11-29 18:04:23 [cpu_model_runner.py:68] Starting to load model /demo...", LOAD, "begins"),
    (
        "(Worker pid=1395) INFO 11-29 18:04:23 [base_loader.py:82] Initializing model took 0.297371 seconds",
        LOAD,
        "begins",
    ),
    ("Loading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?, ?it/s]", LOAD, "0 of 1 files"),
    ("Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00, 22.91it/s]", LOAD, "1 of 1 files"),
    (
        "(Worker pid=1395) INFO 11-29 18:04:23 [default_loader.py:501] Loading weights took 0.05 seconds",
        LOAD,
        "weights are read",
    ),
    (
        "(EngineCore pid=717) INFO 11-29 18:04:24 [kv_cache_utils.py:2327] CPU KV cache size: 17,536 tokens, Maximum",
        WARM_UP,
        "KV cache",
    ),
    (
        "(EngineCore pid=717) INFO 11-29 18:04:24 [core.py:402] init engine (profile, create kv cache, warmup model) took",  # noqa: E501
        WARM_UP,
        "engine is set up",
    ),
    (
        "(APIServer pid=31005) INFO 11-29 18:04:26 [entry.py:140] Starting vLLM server on http://127.0.0.1:18099",
        WARM_UP,
        "opens its port",
    ),
    ("INFO:     Application startup complete.", WARM_UP, "opens its port"),
]
# As the sources of vLLM 0.32.0 print them; no GPU was there to print them.
VLLM_GPU = [
    ("INFO [gpu_model_runner.py:5100] Starting to load model Qwen/Qwen2-VL-2B-Instruct...", LOAD, "begins"),
    ("INFO [weight_utils.py:532] Time spent downloading weights for a/b: 61.200000 seconds", LOAD, "downloaded"),
    ("Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.1s/it]", LOAD, "1 of 2 files"),
    (
        "INFO [gpu_model_runner.py:5150] Model loading took 4.15 GiB memory and 2.1 seconds",
        WARM_UP,
        "measures its memory",
    ),
    ("INFO [monitor.py:60] torch.compile took 30.26 s in total", WARM_UP, "compiles"),
    ("INFO [gpu_worker.py:760] Available KV cache memory: 5.21 GiB", WARM_UP, "KV cache"),
    (
        "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  45%|████▌     | 30/67 [00:01<00:01, 21.1it/s]",
        WARM_UP,
        "CUDA graph 30 of 67",
    ),
    ("INFO [gpu_model_runner.py:6582] Graph capturing finished in 5 secs, took 0.45 GiB", WARM_UP, "engine is set up"),
]
# Our own server, as it was seen, but for the first: no hub was there.
OURS = [
    ("2026-11-29 18:06:58,001 INFO server: fetching weights: Qwen/Qwen2-VL-2B-Instruct at 895c3a4", WEIGHTS, ""),
    ("2026-11-29 18:07:01,120 INFO server: loading weights: /demo, float32 on cpu", LOAD, "begins"),
    ("2026-11-29 18:07:01,320 INFO server: weights loaded in 0.2 s", WARM_UP, "weights are read"),
    ("2026-11-29 18:07:02,687 INFO server: ready: demo on 0.0.0.0:8000", WARM_UP, "opens its port"),
]
# huggingface_hub 2.4.0: written from the formats in its source; no hub was there to see them of.
HUB = [
    ("Fetching 11 files:  27%|██▋       | 3/11 [00:01<00:04,  1.9it/s]", WEIGHTS, "3 of 11 files"),
    ("Downloading (incomplete total...):  12%|█▏        | 0.53G/4.42G [00:10<01:20, 48.1MB/s]", WEIGHTS, ""),
]


@pytest.mark.parametrize("log", [VLLM_CPU, VLLM_GPU, OURS, HUB], ids=["vllm on a CPU", "vllm on a GPU", "ours", "hub"])
def test_the_markers_of_each_engine_in_their_order(log: list[tuple[str, str, str]]) -> None:
    progress = Progress()
    for line, phase, text in log:
        progress = after_lines(progress, [line], 50)
        assert (progress.phase, progress.text) == (phase, text), line


def test_a_bar_tells_its_share_and_the_next_step_has_none() -> None:
    half = after_lines(Progress(), ["Loading safetensors checkpoint shards:  50% Completed | 1/2"], 1)
    assert half.share == 0.5
    assert after_lines(half, ["Loading weights took 2 seconds"], 2).share is None


def test_the_hub_tells_how_much_there_is() -> None:
    assert after_lines(Progress(total=4_000_000_000), [HUB[1][0]], 1).total == 4_420_000_000


@pytest.mark.parametrize(("line", "moved"), [("anything new", 70), ("", 50), ("   ", 50)])
def test_a_line_is_a_sign_that_it_goes_on(line: str, moved: int) -> None:
    assert after_lines(Progress(moved=50), [line], 70.9).moved == moved


@pytest.mark.parametrize(
    "line",
    [
        "INFO [shm_broadcast.py:681] No available shared memory broadcast block found in 60 seconds.",
        "INFO [utils.py:1402] Waiting for 1 local, 0 remote core engine proc(s) to start.",
        "Error while downloading from https://hub/x: timed out.\tTrying to resume download...",
    ],
)
def test_a_line_that_says_that_nothing_goes_on_is_not(line: str) -> None:
    assert after_lines(Progress(moved=50), [line], 70).moved == 50


@pytest.mark.parametrize(
    ("look", "moves"),
    [
        (Look(12, cpu=1.0), False),
        (Look(12, cpu=1.05), False),  # two seconds at 2.5% of a core: something polls
        (Look(12, cpu=1.2), True),
        (Look(12, cpu=1.0, read=1 << 20), True),
        (Look(12, cpu=0.2), False),  # a process ended, and its seconds are gone
        (Look(12, bytes=101, cpu=1.0), True),
        (Look(12, bytes=100, cpu=1.0), False),
        (Look(12, bytes=99, cpu=1.0), False),
    ],
)
def test_bytes_and_work_are_signs_too(look: Look, moves: bool) -> None:
    assert after_look(Progress(moved=1), Look(10, bytes=100, cpu=1.0), look).moved == (12 if moves else 1)


def test_a_download_that_the_engine_calls_loading_is_a_download() -> None:
    loading = Progress(LOAD, "begins", moved=9, share=0.1)
    fetching = after_look(loading, Look(10, bytes=0), Look(11, bytes=5, downloading=True))
    assert (fetching.phase, fetching.text, fetching.share, fetching.bytes) == (WEIGHTS, "", None, 5)
    assert after_look(fetching, Look(11, bytes=5), Look(12, bytes=9)).phase == WEIGHTS, "between two files"
    assert after_lines(fetching, ["Loading safetensors checkpoint shards:   0% Completed | 0/2"], 13).phase == LOAD
