#!/usr/bin/env bash
# Train a recipe with TRL:  recipes/trl/launch.sh TASK SIZE [options of `unsharpen train`]
#
#   TASK  countdown, math       SIZE  1.5b, 3b, 7b       (recipes/models.txt)
#
# Environment: GPUS (8) on each of NODES (1) nodes; on several: NODE_RANK, MASTER_ADDR, MASTER_PORT (29500);
# SHARDING fsdp2, zero3 or ddp (fsdp2); SAMPLER colocate, server or generate (colocate); MICRO completions per GPU in
# one pass (4); MODEL and LR in place of the table's; DRY_RUN=1 prints the command. With --dry-run among the options
# the command checks its settings and stops.
set -euo pipefail
(($# >= 2)) || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
task=$1 size=$2
shift 2
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/../models.sh"

gpus=${GPUS:-8} nodes=${NODES:-1} micro=${MICRO:-4} sampler=${SAMPLER:-colocate}
processes=$((gpus * nodes))
if ((update % (micro * processes))); then
  echo "an update has $update completions; MICRO x GPUS x NODES = $((micro * processes)) does not divide it" >&2
  exit 2
fi

launcher=(python)
if ((processes > 1)); then
  launcher=(accelerate launch --config_file "$here/../accelerate/${SHARDING:-fsdp2}.yaml"
    --num_processes "$processes" --num_machines "$nodes")
  if ((nodes > 1)); then
    launcher+=(--machine_rank "${NODE_RANK:?the number of this node, from 0}"
      --main_process_ip "${MASTER_ADDR:?the address of node 0}" --main_process_port "${MASTER_PORT:-29500}")
  fi
fi
configs=(--config "$here/$task.yaml")
[[ $sampler == generate ]] || configs+=(--config "$here/$sampler.yaml")

launch "${launcher[@]}" -m unsharpen train "${configs[@]}" --model "$model" --output "runs/$task-$size" \
  --set "learning_rate=$rate" --set "per_device_train_batch_size=$micro" \
  --set "gradient_accumulation_steps=$((update / micro / processes))" "$@"
