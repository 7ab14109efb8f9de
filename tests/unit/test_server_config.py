import pytest

from orchestrator.server.config import Config, parse

NEEDED = ["--served-name", "demo", "--family", "qwen2-vl"]


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        parse(argv)
    assert stopped.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1, "one clear line"
    return line


def test_a_model_of_the_hub_with_every_option() -> None:
    argv = [*NEEDED, "--model", "Qwen/Qwen2-VL-2B-Instruct", "--revision", "abc", "--host", "0.0.0.0", "--port", "81"]
    argv += ["--device", "cuda", "--dtype", "float16", "--quantisation", "int8", "--max-model-len", "100"]
    argv += ["--gpu-memory-bytes", "5000000000"]
    argv += ["--max-images", "2", "--max-pixels", "300", "--max-queue", "4", "--trust-remote-code"]
    argv += ["--request-seconds", "9", "--require-api-key", "--allow-image-urls"]
    argv += ["--stop", "<|end|>", "--stop=-x"]
    assert parse(argv) == Config(
        family="qwen2-vl",
        served_name="demo",
        model="Qwen/Qwen2-VL-2B-Instruct",
        revision="abc",
        host="0.0.0.0",
        port=81,
        device="cuda",
        dtype="float16",
        quantisation="int8",
        gpu_memory_bytes=5_000_000_000,
        max_model_len=100,
        max_images=2,
        max_pixels=300,
        allow_image_urls=True,
        max_queue=4,
        request_seconds=9,
        require_api_key=True,
        trust_remote_code=True,
        stop=("<|end|>", "-x"),
    )


def test_images_are_fetched_only_where_that_is_asked_for() -> None:
    argv = [*NEEDED, "--model", "x"]
    assert not parse(argv).allow_image_urls
    assert not parse([*argv, "--no-allow-image-urls"]).allow_image_urls


def test_builtin_weights_take_the_place_of_a_model() -> None:
    config = parse([*NEEDED, "--builtin", "demo"])
    assert (config.builtin, config.model) == ("demo", None)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (NEEDED, "needs one of --model and --builtin"),
        ([*NEEDED, "--model", "m", "--builtin", "demo"], "needs one of --model and --builtin"),
        (["--served-name", "x", "--family", "nope", "--model", "m"], "family 'nope' is not supported by this image"),
        ([*NEEDED, "--builtin", "nope"], "no built-in weights 'nope'; there are: demo"),
        ([*NEEDED, "--model", "m", "--port", "0"], "must be from 1 to 65535, got 0"),
        ([*NEEDED, "--model", "m", "--port", "x"], "invalid whole number value: 'x'"),
        ([*NEEDED, "--model", "m", "--dtype", "int4"], "invalid choice: 'int4'"),
        ([*NEEDED, "--model", "m", "--max-model-len", "0"], "must be from 1"),
        ([*NEEDED, "--model", "m", "--gpu-memory-bytes", "0"], "must be from 1"),
        ([*NEEDED, "--model", "m", "--gpu-memory-bytes", "4GiB"], "invalid whole number value: '4GiB'"),
        ([*NEEDED, "--model", "m", "--stop", ""], "must not be empty"),
        ([*NEEDED, "--model", "m", "--nope"], "unrecognized arguments: --nope"),
        ([*NEEDED, "--mod", "m"], "unrecognized arguments: --mod"),
        (["--model", "m"], "required: --served-name, --family"),
    ],
)
def test_a_wrong_command_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refusal(argv, capsys)
