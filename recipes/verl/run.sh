#!/usr/bin/env bash
# Train a recipe with verl:  recipes/verl/run.sh TASK SIZE [Hydra overrides]
#
#   TASK  countdown, math       SIZE  1.5b, 3b, 7b       (recipes/models.txt)
#
# Environment: GPUS (8) on each of NODES (1) nodes; DATA the folder of the data (.), OUTPUT that of the checkpoints
# (checkpoints/unsharpen/TASK-SIZE); MODEL and LR in place of the table's; DRY_RUN=1 prints the command.
# On several nodes DATA and OUTPUT must lie on a file system that all of them share. Start Ray first, on node 0
# `ray start --head`, on the others `ray start --address=NODE0:6379`; then run this on node 0, or hand it in:
# ray job submit --working-dir . -- env NODES=2 DATA=... OUTPUT=... bash recipes/verl/run.sh math 7b
set -euo pipefail
(($# >= 2)) || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
task=$1 size=$2
shift 2
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/../models.sh"

if ((${NODES:-1} > 1)); then
  : "${DATA:?the folder of the data, on a file system that all nodes share}"
  : "${OUTPUT:?a folder for the checkpoints, on a file system that all nodes share}"
fi
# whole paths: Ray runs the trainer in a folder of its own choice
data=$(realpath -m "${DATA:-.}") output=$(realpath -m "${OUTPUT:-checkpoints/unsharpen/$task-$size}")

mapfile -t overrides < <(grep -hEv '^(#|$)' "$here/common.txt" "$here/$task.txt" "$here/$size.txt")
overrides=("${overrides[@]/_files=/_files="$data"/}")
group=$(printf '%s\n' "${overrides[@]}" | sed -n 's/^actor_rollout_ref.rollout.n=//p')

launch python -m verl.trainer.main_ppo "${overrides[@]}" \
  "actor_rollout_ref.model.path=$model" "actor_rollout_ref.actor.optim.lr=$rate" \
  "actor_rollout_ref.actor.ppo_mini_batch_size=$((update / group))" \
  "trainer.n_gpus_per_node=${GPUS:-8}" "trainer.nnodes=${NODES:-1}" "trainer.experiment_name=$task-$size" \
  "trainer.default_local_dir=$output" "$@"
