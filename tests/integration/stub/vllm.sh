#!/bin/sh
# Stands in for vLLM's command: `vllm serve MODEL OPTIONS`.
exec python3 -m server "$@"
