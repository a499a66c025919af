# Sourced by the launchers: sets model, rate and update for $task and $size, or says which there are.
table=$(dirname "${BASH_SOURCE[0]}")/models.txt
read -r model rate update < <(awk -v t="$task" -v s="$size" '$1 == t && $2 == s { print $3, $4, $5 }' "$table") || true
if [[ -z ${model:-} ]]; then
  echo "no recipe '$task $size'; there are:" >&2
  awk '!/^#/ { print "  " $1, $2 }' "$table" >&2
  exit 2
fi
model=${MODEL:-$model} rate=${LR:-$rate}

# Runs a command, or with DRY_RUN=1 prints it in the form that a shell reads.
launch() {
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    printf '%q ' "$@"
    echo
  else
    exec "$@"
  fi
}
