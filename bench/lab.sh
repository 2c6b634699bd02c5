# bench/lab.sh - what the comparisons in this folder share: a proxy with four simulated A100 pairs,
# started afresh, hence with empty caches, for every row. To be sourced.
#
#   lab_start KEY=VALUE...   `enable_batching`, `sim-*` flags of the engines, or keys of `batchproxy:`
#                            (`launcher.KEY` for its section); sets $url, $admin and $engine
#   lab_stop

work=$(mktemp -d)
pid=
lab_stop() { [[ -z "$pid" ]] || { kill -INT "$pid" && wait "$pid" || true; pid=; }; }
trap 'lab_stop; rm -rf "$work"' EXIT

lab_start() {
  python3 - "$work" "$@" >"$work/lab.yaml" <<'PY'
import json, sys
work, pairs = sys.argv[1], [pair.split("=", 1) for pair in sys.argv[2:]]
settings = {"boot_local": True, "hf_model_id": "meta-llama/Llama-2-7b-chat-hf",
            "vllm_args": {"tensor_parallel_size": 2, "max_model_len": 4096, "max_num_batched_tokens": 2048,
                          "max_num_seqs": 256}}
ours = {"launcher": {"engine": "sim", "servers": 4, "stagger": 0, "log_directory": work + "/logs"}}
for key, text in pairs:
    value = json.loads(text) if text in ("true", "false") or text[:1].isdigit() else text
    if key == "enable_batching":
        settings[key] = value
    elif key.startswith("sim-"):
        settings["vllm_args"][key] = value
    elif key.startswith("launcher."):
        ours["launcher"][key.removeprefix("launcher.")] = value
    else:
        ours[key] = value
print(json.dumps({"model": {"generator_settings": settings}, "batchproxy": ours}))
PY
  : >"$work/out"  # or the last row's "ready" would be taken for this one's
  "$build/proxy/batchproxy" --config "$work/lab.yaml" --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    >"$work/out" 2>&1 &
  pid=$!
  until grep -q '^ready:' "$work/out"; do kill -0 "$pid"; sleep 0.1; done
  url=$(sed -n 's/^ *listening *//p' "$work/out")
  admin=$(sed -n 's#^ *admin *\(http://[0-9.:]*\).*#\1#p' "$work/out")
  engine=$(sed -n 's/^ *engine-0 *\(http[^ ]*\).*/\1/p' "$work/out" | head -n 1)
}
