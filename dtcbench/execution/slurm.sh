set -u
# The limit is near: take no new cells; what still runs 30 s before the limit is stopped. Then the job is queued again.
driver= again=
warn() {
  again=1
  [ -n "$driver" ] || return
  kill -USR1 "$driver"
  { sleep "$((notice - 30))"; kill -TERM "$driver"; } 2>/dev/null &
}
trap warn USR1

umask 077
ulimit -n "$(ulimit -Hn)"
unset RAY_ADDRESS
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN  # a token of this job alone: nobody else can run anything on its Ray
RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))')
export RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1
export CUDA_DEVICE_ORDER=PCI_BUS_ID
# A node that is off counts as lost after 3 s, the task of a frozen node fails at all, nodes end 10 s after their head.
export RAY_health_check_initial_delay_ms=0 RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=1000
export RAY_health_check_failure_threshold=3 RAY_gcs_rpc_server_reconnect_timeout_s=10
export RAY_grpc_client_keepalive_time_ms=3000 RAY_grpc_client_keepalive_timeout_ms=3000

# Free ports and new folders, since another job may have a Ray on the same nodes. No `ray stop`, which would end that too.
read -r ip port < <("$python" -c 'import ray, socket
print(ray.util.get_node_ip_address(), socket.create_server(("", 0)).getsockname()[1])')

# A Ray node until it is told to end: then no cell of it counts any more, and nothing of it stays. One that was cut off from its head ends itself, and starts again.
ray_node() {
  folder=$(mktemp -d /tmp/dtc-XXXXXX)  # short, for the sockets in it
  trap 'pkill -KILL -f "$folder"; wait; rm -rf "$folder"; exit' TERM USR2
  while :; do
    "$python" -m ray.scripts.scripts start "$@" --num-cpus="$cpus" --num-gpus="$gpus" --temp-dir="$folder/ray" \
      --min-worker-port=0 --max-worker-port=0 --block >"$folder/log" 2>&1 &
    ray=$!
    wait "$ray" || tail -n 5 "$folder/log" >&2
    sleep 5
  done
}
export -f ray_node
export python cpus gpus

start() {  # a step of this job that ends with it, on some of its nodes
  srun --overlap --no-kill --cpus-per-task="$cpus" "$@" &
  steps+=("$!")
}
start --nodes=1 --ntasks=1 --nodelist="$SLURMD_NODENAME" bash -c 'ray_node "$@"' ray \
  --head --node-ip-address="$ip" --port="$port" --include-dashboard=false
until (: >"/dev/tcp/$ip/$port") 2>/dev/null; do
  kill -0 "${steps[0]}" || exit 1
  sleep 1
done
others=$((SLURM_JOB_NUM_NODES - 1))
[ "$others" = 0 ] || start --nodes="$others" --ntasks="$others" --exclude="$SLURMD_NODENAME" bash -c 'ray_node "$@"' ray \
  --address="$ip:$port"

"${run[@]}" --address "$ip:$port" &
driver=$!
[ -z "$again" ] || warn
trap 'kill -USR1 "$driver"; kill -TERM "$driver"' TERM  # scancel: stop what runs, in order
while kill -0 "$driver" 2>/dev/null; do  # a signal ends `wait`, too
  wait "$driver"
  code=$?
done
kill -USR2 "${steps[@]}"  # srun passes it on
wait "${steps[@]}"
if [ -n "$again" ] && [ "$code" != 0 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$lives" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
