#!/usr/bin/env bash
# The sampler of SAMPLER=server, on GPUs of its own:  recipes/trl/serve.sh TASK SIZE [options of `trl vllm-serve`]
#
# Environment: GPUS (2) that one copy of the model is dealt out over; MODEL; DRY_RUN=1 prints the command.
# On one node, keep the two apart: CUDA_VISIBLE_DEVICES=6,7 here, CUDA_VISIBLE_DEVICES=0,1,2,3 and GPUS=4 for the trainer.
set -euo pipefail
(($# >= 2)) || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
task=$1 size=$2
shift 2
source "$(dirname "${BASH_SOURCE[0]}")/../models.sh"
launch trl vllm-serve --model "$model" --tensor_parallel_size "${GPUS:-2}" --max_model_len 4096 "$@"
