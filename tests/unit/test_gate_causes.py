"""Which ends of an engine can heal. The log lines are those that engines really print."""

from __future__ import annotations

import pytest

from orchestrator.gate.verdict import classify, describe_exit

CANNOT_HEAL = {
    "OSError: You are trying to access a gated repo.": "refused access",
    "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6)": "refused access",
    "HTTPError: 403 Client Error: Forbidden for url: https://huggingface.co/x": "refused access",
    "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: R)": "was not found",
    "OSError: x/y is not a local folder and is not a valid model identifier listed on 'h'": "was not found",
    "huggingface_hub.errors.RevisionNotFoundError: 404 Client Error.": "no such revision",
    "LocalEntryNotFoundError: Cannot find the requested files in the disk cache and outgoing traffic has been "
    "disabled.": "downloads are off",
    "ValueError: The repository x/y contains custom code which must be executed to correctly load the "
    "model.": "its own code",
    "(EngineCore pid=71) ERROR 11-23 [core.py:700] ValueError: Model architectures ['Foo'] are not supported "
    "for now.": "architecture",
    "  Value error, Model architectures ['Moondream'] are not supported for now.": "architecture",
    "ValueError: The checkpoint you are trying to load has model type `x` but Transformers does not recognize "
    "this architecture.": "architecture",
    "RuntimeError: The NVIDIA driver on your system is too old (found version 12080).": "driver is too old",
    "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device": "GPU is too",
    "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.": "number format",
    "ValueError: User-specified max_model_len (9) is greater than the derived max_model_len (8)": "context",
    "OSError: x/y does not appear to have a file named config.json.": "file of the model",
    "vllm: error: unrecognized arguments: --foo": "command line",
}

MAY_HEAL = {
    "ValueError: Free memory on device cuda:0 (3.1/23.5 GiB) on startup is less than desired GPU memory "
    "utilization (0.92, 21.6 GiB).": "free GPU memory",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.": "out of memory",
    "ValueError: No available memory for the cache blocks.": "KV cache",
    "AssertionError: Error in memory profiling. Initial free memory 3 GiB, current free memory 4": "measured",
    "OSError: We couldn't connect to 'https://huggingface.co' to load the files": "could not be reached",
    "requests.exceptions.HTTPError: 429 Client Error: Too Many Requests for url": "for now",
    "HfHubHTTPError: 503 Server Error: Service Unavailable for url": "for now",
}

# Seen from vLLM 0.32.0 on the CPU, with what is passed on of it; but for the last two: one is from the source of 0.8.0,
# the other made, with the number that stands for a process that died of a signal.
VLLM = {
    "vllm: error: unrecognized arguments: --foo": "command line: unrecognized arguments: --foo.",
    "vllm serve: error: argument --max-model-len: invalid human_readable_int_or_auto value: 'abc'": (
        "command line: argument --max-model-len: invalid human_readable_int_or_auto value: 'abc'."
    ),
    "vllm serve: error: argument --mm-processor-kwargs: Value x=1 cannot be converted to <function loads>.": (
        "command line: argument --mm-processor-kwargs: Value x=1 cannot be converted to <function loads>."
    ),
    "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB free. "
    "Increase /dev/shm (e.g. --shm-size or --ipc=host).": "too small: 160 MiB required, 64 MiB free.",
    "(EngineCore pid=34) ERROR 11-29 18:06:11 [core.py:1510] ValueError: To serve at least one request with the "
    "model's max seq len (2048), (0.09 GiB KV cache is needed, which is larger than the available KV cache memory "
    "(0.04 GiB). Based on the available memory, the estimated maximum model length is 128.": (
        "too small for one sequence of max_model_len: 0.09 GiB KV cache is needed, which is larger than the available "
        "KV cache memory (0.04 GiB)."
    ),
    "  Value error, Model architectures ['Moondream'] are not supported for now. Supported architectures: "
    "dict_keys(['A', 'B'])": "the model's architecture: ['Moondream'].",
    "  Value error, The checkpoint you are trying to load has model type `x` but Transformers does not recognize "
    "this architecture. This could be because of an issue": "support the model's architecture.",
    "  Value error, Unknown quantization method: nosuch. Must be one of ['awq', 'fp8'] [type=value_error]": (
        "how the weights are quantised: nosuch."
    ),
    "  Value error, max_num_batched_tokens (2) must be greater than or equal to max_num_seqs (4). [type=value_error, "
    "input_value=ArgsKwargs((), {'x': 1}), input_type=ArgsKwargs]": (
        "configuration: max_num_batched_tokens (2) must be greater than or equal to max_num_seqs (4)."
    ),
    "ValueError: To serve at least one request with the models's max seq len (8192), (1.50 GB KV cache is needed, "
    "which is larger than the available KV cache memory (1.00 GB).": "KV cache is too small",
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': -7}": (
        "shared memory is too small."
    ),
}

HARMLESS = (
    "Failed to load generation config for x: x does not appear to have a file named generation_config.json.",
    "UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 12080).",
    "non-default args: {'model': 'x', 'trust_remote_code': True}",
    "INFO: Model architectures that are not supported are listed in the docs",
    "loading weights",
)


@pytest.mark.parametrize(("line", "told"), [*CANNOT_HEAL.items(), *VLLM.items()])
def test_what_can_not_heal_is_named(line: str, told: str) -> None:
    verdict = classify(1, ("INFO start", line, "  more of a traceback"), was_ready=False)
    assert not verdict.heals
    assert told in verdict.reason


@pytest.mark.parametrize(("line", "told"), MAY_HEAL.items())
def test_what_may_heal_is_named_too(line: str, told: str) -> None:
    verdict = classify(1, ("INFO start", line), was_ready=False)
    assert verdict.heals
    assert told in verdict.reason


@pytest.mark.parametrize("line", HARMLESS)
def test_a_warning_is_not_taken_for_the_cause(line: str) -> None:
    assert classify(1, (line,), was_ready=False).heals


def test_too_little_free_memory_wins_over_a_text_that_can_not_heal() -> None:
    tail = ("OSError: x does not appear to have a file named y", "ValueError: Free memory on device cuda:0")
    assert classify(1, tail, was_ready=False).heals


@pytest.mark.parametrize(
    "line",
    ["FileNotFoundError: [Errno 2] No such file or directory: 'x'", "ModuleNotFoundError: No module named 'x'"],
)
def test_a_missing_file_or_package_counts_only_as_the_last_words(line: str) -> None:
    assert not classify(1, (line, "  "), was_ready=False).heals
    assert classify(1, (line, "trying another way"), was_ready=False).heals


@pytest.mark.parametrize("code", [2, 126, 127])
def test_exit_codes_of_a_wrong_configuration(code: int) -> None:
    verdict = classify(code, (), was_ready=False)
    assert not verdict.heals
    assert str(code) in verdict.reason


def test_a_wrong_configuration_also_tells_what_the_log_says() -> None:
    verdict = classify(2, ("server: error: unrecognized arguments: --x",), was_ready=False)
    assert verdict.reason.startswith("The engine does not accept its command line: unrecognized arguments: --x.")


def test_the_cause_is_found_above_vllm_s_last_words() -> None:
    """It ends with its first process, which knows only that another one failed."""
    cause = (
        "(EngineCore pid=34) ERROR [core.py:1510] RuntimeError: Insufficient space in /dev/shm for x: 2 MiB required"
    )
    last = (
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
    )
    verdict = classify(1, (f"{cause}, 1 MiB free", *("  traceback",) * 150, last), was_ready=False)
    assert "2 MiB required, 1 MiB free" in verdict.reason
    assert classify(1, ("  traceback", last), was_ready=False).heals


def test_what_the_engine_says_is_cut_where_it_is_long() -> None:
    verdict = classify(2, ("server: error: unrecognized arguments: --" + "x" * 1000,), was_ready=False)
    assert len(verdict.reason) < 200
    assert verdict.reason.endswith("x.")


def test_exit_code_2_is_believed_over_a_log_that_may_heal() -> None:
    assert not classify(2, ("Free memory on device",), was_ready=False).heals


@pytest.mark.parametrize("code", [0, 1, 3, 134, 137, 139])
def test_every_other_end_may_be_tried_again(code: int) -> None:
    assert classify(code, (), was_ready=False).heals


def test_ends_in_words() -> None:
    assert describe_exit(0) == "The engine ended by itself with exit code 0."
    assert describe_exit(137).startswith("The engine was killed (signal 9)")
    assert describe_exit(139) == "The engine died of signal 11."
