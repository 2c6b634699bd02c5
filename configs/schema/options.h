// configs/schema/options.h - every key of the configuration file: default, limits and meaning,
// whether a reload applies it, and its flag and variable.
//
// To add a key, add one row here. The loader, the range check, the flags and their --help, the
// variables, a reload, `check --show-effective`, `batchproxy keys` and docs/CONFIGURATION.md all
// walk these structs with boost::pfr, so they must stay plain aggregates whose members are Keys, or
// lists of such aggregates. A row without a word about reload does not compile. An entry of a list
// comes and goes with its list, so the list's row says the same for all of them.
//
// Two homes: the scoring workers' own keys (WorkerOptions), which we share with their scripts, and
// ours, all under one top-level key `batchproxy:` (ProxyOptions).
//
// Threading: filled once at start-up, read-only afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "configs/schema/argument.h"
#include "configs/schema/key.h"

namespace batchproxy {

// The words of the key `flush`: each is a policy of batcher/flush/flush_policies.h, which
// proxy/control/settings.cc has the compiler check.
inline constexpr std::array<std::string_view, 2> kFlushWords = {"eager", "fixed"};

// Keys of the workers' own file, found under `model.generator_settings`, `generator_settings` or,
// for the last four, at the top level. Unknown neighbours belong to the workers and are left alone.
struct WorkerOptions {
  Key<bool> boot_local{"boot_local", false, anything(), Applies::kUnlessSourceChanges,
                       "Start the engines ourselves; otherwise use http://{server}:{port}."};
  Key<std::string> hf_model_id{
      "hf_model_id",
      "",
      anything(),
      Applies::kAfterRestart,
      "Model to load: a Hugging Face id or a local directory.",
      {"--model", "BATCHPROXY_MODEL", "MODEL",
       "Model to start engines for: a Hugging Face id or a directory", 55}};
  Key<std::string> model{"model", "", anything(), Applies::kAfterRestart,
                         "Name that workers send as `model`; served beside hf_model_id."};
  Key<std::string> server{"server", "localhost", anything(), Applies::kUnlessSourceChanges,
                          "Host of a running engine when boot_local is false."};
  Key<std::int64_t> port{"port", 8000, between(1, 65535), Applies::kUnlessSourceChanges,
                         "Port of a running engine when boot_local is false."};
  Key<std::string> api_key{"api_key", "", anything(), Applies::kUnlessSourceChanges,
                           "Bearer token for running engines; never a client key."};
  Key<Seconds> server_startup_timeout{"server_startup_timeout", Seconds(900), between(1, 86400),
                                      Applies::kAfterRestart,
                                      "Seconds an engine may take until it is ready."};
  Key<Arguments> vllm_args{
      "vllm_args", {}, anything(), Applies::kAfterRestart, "Arguments for `vllm serve`."};
  Key<bool> enable_batching{"enable_batching", true, anything(), Applies::kOnReload,
                            "false forwards every request at once and concurrently."};
  Key<std::int64_t> batch_size{
      "batch_size",
      16,
      between(1, 1024),
      Applies::kOnReload,
      "Most prompts in a batch and in one call to an engine.",
      {"--batch-size", "BATCHPROXY_BATCH_SIZE", "N", "Most prompts in a batch", 90}};
  Key<Seconds> batch_timeout{"batch_timeout",
                             Seconds(0.5),
                             between(0, 3600),
                             Applies::kOnReload,
                             "Longest wait in seconds before a request is sent regardless of room.",
                             {"--batch-timeout", "BATCHPROXY_BATCH_TIMEOUT", "SECONDS",
                              "Longest wait before a request is sent regardless of room", 100}};
  Key<std::int64_t> parallel_workers{"parallel_workers", 0, between(0, 100000), Applies::kOnReload,
                                     "How many workers will call (a hint; also `processing.`)."};
};

// One entry of `batchproxy.backends`: an engine that already runs.
struct BackendOptions {
  Key<std::string> url{"url", "", anything(), Applies::kUnlessSourceChanges,
                       "http://HOST:PORT, or https://HOST:PORT, of a running engine."};
  Key<std::string> api_key{"api_key", "", anything(), Applies::kUnlessSourceChanges,
                           "Bearer token sent instead of the client's."};
  Key<std::string> ca_file{
      "ca_file", "", a_path(), Applies::kUnlessSourceChanges,
      "PEM file of who may have signed its certificate (https); default: `tls.ca_file`."};
  Key<std::vector<std::string>> models{
      "models",
      {},
      anything(),
      Applies::kUnlessSourceChanges,
      "Models that it serves, where `GET /v1/models` does not tell: a list that it tells is taken "
      "instead."};
  Key<std::string> health_path{
      "health_path", "", anything(), Applies::kUnlessSourceChanges,
      "Path whose 2xx says that it lives; default: /health, where that is missing /v1/models, and "
      "where both are, with `models`, any answer."};
  Key<std::int64_t> max_num_seqs{"max_num_seqs", 256, between(1, 65536),
                                 Applies::kUnlessSourceChanges,
                                 "Requests it runs at once (vLLM's --max-num-seqs)."};
};

// One entry of `batchproxy.launcher.servers` when that is a list.
struct ServerOptions {
  Key<std::int64_t> count{"count", 1, between(1, 256), Applies::kAfterRestart,
                          "How many engines of this kind to start."};
  Key<std::string> hf_model_id{"hf_model_id", "", anything(), Applies::kAfterRestart,
                               "Model to load; default: the worker file's."};
  Key<std::string> model{"model", "", anything(), Applies::kAfterRestart,
                         "A second name to serve it under."};
  Key<Arguments> vllm_args{"vllm_args",
                           {},
                           anything(),
                           Applies::kAfterRestart,
                           "Arguments for these engines; they override the worker file's."};
};

// `servers` is a number, the word `auto` (all GPUs in groups), or a list of ServerOptions.
struct AutoServers {};
using Servers = std::variant<std::int64_t, AutoServers, std::vector<ServerOptions>>;

// `gpus` is a number, 0 for all that the driver has, or a list of indices and UUIDs; ranges of
// indices have become indices.
using GpuChoice = std::variant<std::int64_t, std::vector<std::string>>;

// The words of `profile`; configs/engine_wish.cc says what each fills in.
inline constexpr std::array<std::string_view, 5> kProfileWords = {"none", "auto", "multi", "single",
                                                                  "cpu"};

// The words of `placement`. What each but the first needs, and how it brings engines to nodes, is a
// row in launcher/placement/placements.cc.
inline constexpr std::array<std::string_view, 4> kPlacementWords = {"local", "exec", "slurm",
                                                                    "ray"};

struct LauncherOptions {
  Key<std::string> engine{
      "engine",
      "vllm",
      one_of({"vllm", "sim", "command"}),
      Applies::kAfterRestart,
      "What to start: `vllm serve`, the simulated engine, or `command`.",
      {"--engine", "BATCHPROXY_ENGINE", "KIND", "What to start: vllm, sim or command", 60}};
  Key<Servers> servers{"servers",
                       std::int64_t{1},
                       between(1, 256),
                       Applies::kAfterRestart,
                       "Engines to start: a number, `auto`, or a list.",
                       {"--servers", "BATCHPROXY_SERVERS", "N|auto",
                        "Engines to start; auto: as many as the GPUs allow", 62}};
  Key<std::string> profile{"profile",
                           "none",
                           one_of({kProfileWords.begin(), kProfileWords.end()}),
                           Applies::kAfterRestart,
                           "What is not written is filled in: `multi` has the engines share all "
                           "GPUs, `single` gives each "
                           "one GPU, `cpu` none; `auto` is one of these, by the GPUs there are.",
                           {"--profile", "BATCHPROXY_PROFILE", "WORD",
                            "auto, multi (engines share all GPUs), single (one each) or cpu", 64}};
  Key<std::vector<std::string>> command{"command",
                                        {},
                                        anything(),
                                        Applies::kAfterRestart,
                                        "For `engine: command`: a list of arguments; {model} "
                                        "{port} {host} {gpus} {index} are filled in."};
  Key<std::string> executable{"executable", "vllm", a_path(), Applies::kAfterRestart,
                              "The vLLM program: a name on PATH or a path."};
  Key<GpuChoice> gpus{
      "gpus",
      std::int64_t{0},
      between(0, 1024),
      Applies::kAfterRestart,
      "GPUs to use: a number, or a list of indices, ranges of them (0-3,6) or UUIDs; 0 asks the "
      "driver (for simulated engines there are 8, or as many as these need).",
      {"--gpus", "BATCHPROXY_GPUS", "N|LIST",
       "GPUs to use, without asking the driver: a number, or 0-3,6", 70}};
  Key<std::string> gpu{
      "gpu",
      "",
      anything(),
      Applies::kAfterRestart,
      "The one GPU to use, by index or UUID: short for a list of one in `gpus`.",
      {"--gpu", "BATCHPROXY_GPU", "GPU", "The one GPU to use: 7, or its UUID", 72}};
  Key<std::int64_t> port_base{"port_base",
                              8100,
                              between(1024, 65000),
                              Applies::kAfterRestart,
                              "First port to give to engines; taken ports are skipped.",
                              {"--port-base", "BATCHPROXY_PORT_BASE", "PORT",
                               "First port to give to engines; taken ones are skipped", 73}};
  Key<Seconds> stagger{"stagger", Seconds(2), between(0, 3600), Applies::kAfterRestart,
                       "Seconds between the starts of two engines (none for simulated ones)."};
  Key<Seconds> stop_timeout{"stop_timeout", Seconds(20), between(0, 3600), Applies::kAfterRestart,
                            "Seconds between SIGTERM and SIGKILL when an engine is stopped."};
  Key<std::string> restart{"restart", "on-failure", one_of({"on-failure", "never"}),
                           Applies::kAfterRestart,
                           "Whether an engine that has ended is started again."};
  Key<bool> repair{"repair", true, anything(), Applies::kAfterRestart,
                   "Whether a flag is changed when a start has failed for a reason that it mends; "
                   "never one that you have set."};
  Key<std::int64_t> repair_attempts{"repair_attempts", 3, between(1, 20), Applies::kAfterRestart,
                                    "Most repairs of an engine in a row."};
  Key<bool> repair_kv_fp8{"repair_kv_fp8", false, anything(), Applies::kAfterRestart,
                          "Whether a repair may set `kv_cache_dtype: fp8`, which changes answers."};
  Key<std::int64_t> repair_cpu_offload{
      "repair_cpu_offload", 0, between(0, 1024), Applies::kAfterRestart,
      "GiB of weights for each GPU that a repair may keep in the host's memory; 0: none."};
  Key<bool> keep{"keep", false, anything(), Applies::kAfterRestart,
                 "Engines go on when batchproxy ends in any way, and the next one with the same "
                 "log_directory takes them over; `batchproxy stop` ends them."};
  Key<Seconds> liveness_timeout{
      "liveness_timeout", Seconds(120), between(0, 86400), Applies::kAfterRestart,
      "An engine that stands still, or leaves its health probe without an answer, for so many "
      "seconds is killed and started again; 0: never."};
  Key<std::string> log_directory{"log_directory", "batchproxy_logs", a_path(),
                                 Applies::kAfterRestart,
                                 "Where each engine's output goes, one file per engine."};
  Key<std::string> placement{
      "placement",
      "local",
      one_of({kPlacementWords.begin(), kPlacementWords.end()}),
      Applies::kAfterRestart,
      "Where engines run: on this machine, or on others, to which Slurm, Ray or a program of yours "
      "(`exec_command`) brings them. See docs/PLACEMENT.md.",
      {"--placement", "BATCHPROXY_PLACEMENT", "WORD",
       "Where engines run: local, exec, slurm or ray", 74}};
  Key<std::string> agents_listen{"agents_listen", "", anything(), Applies::kAfterRestart,
                                 "HOST:PORT at which the engines' agents on other nodes reach us; "
                                 "default: this machine's name, "
                                 "and a port that is free."};
  Key<std::string> agent_program{
      "agent_program", "", anything(), Applies::kAfterRestart,
      "batchproxy on the other nodes, a path or a name on PATH there; default: the path of ours."};
  Key<Seconds> agent_timeout{
      "agent_timeout", Seconds(120), between(1, 86400), Applies::kAfterRestart,
      "Seconds in which an engine's agent must have come to a node and connected. A scheduler that "
      "says it waits for room is waited for."};
  Key<std::vector<std::string>> exec_command{
      "exec_command",
      {},
      anything(),
      Applies::kAfterRestart,
      "For `placement: exec`: what brings an agent to a node, a list of arguments; {node} {index} "
      "{gpus} are filled in, {agent...} becomes the agent's words, {agent} one word for a shell."};
  Key<std::vector<std::string>> nodes{
      "nodes",
      {},
      anything(),
      Applies::kAfterRestart,
      "For `placement: exec`: names for {node}; the engines are shared out among them in order."};
  Key<std::vector<std::string>> srun_arguments{
      "srun_arguments",
      {},
      anything(),
      Applies::kAfterRestart,
      "For `placement: slurm`: more arguments for srun, which win over ours: [\"-c\", \"16\"]."};
  Key<std::string> ray_address{
      "ray_address", "", anything(), Applies::kAfterRestart,
      "For `placement: ray`: the URL of its dashboard, such as http://head:8265."};
  Key<std::string> ray_token_file{
      "ray_token_file", "", a_path(), Applies::kAfterRestart,
      "For `placement: ray`: file of its token; else RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."};
  Key<std::string> sim_hardware{"sim_hardware", "a100", one_of({"a100", "h100"}),
                                Applies::kAfterRestart,
                                "What the simulated engine pretends to run on."};
  Key<double> sim_time_scale{
      "sim_time_scale", 1.0, between(0.0001, 1000), Applies::kAfterRestart,
      "Simulated seconds take this many real ones; 0.1 is ten times as fast."};
};

// Files and batches of clients that are answered whether or not they wait: see docs/BATCHES.md.
struct JobsOptions {
  Key<std::string> directory{
      "directory", "", a_path(), Applies::kAfterRestart,
      "Where files and batches are kept; default: $XDG_STATE_HOME/batchproxy/jobs, made when it is "
      "first needed. Only one batchproxy may use it."};
  Key<std::int64_t> max_bytes{"max_bytes", 20LL << 30, between(1 << 20, 1LL << 50),
                              Applies::kAfterRestart,
                              "Bytes of all files together; an upload beyond is answered 413."};
  Key<double> room_share{"room_share", 0.18, between(0.01, 1), Applies::kOnReload,
                         "Share of its room that batches fill of an engine that is kept for "
                         "others, while these ask. A smaller one makes the tokens of others "
                         "faster, and batches slower where there are few engines."};
  Key<bool> by_key{"by_key", false, anything(), Applies::kOnReload,
                   "Every API key's requests are a job of its name, as if they said "
                   "x-batchproxy-job: they are recorded, and answered from the record."};
};

// TLS for those who connect to us, and to engines with https:// in their URL.
struct TlsOptions {
  Key<std::string> certificate{
      "certificate",
      "",
      a_path(),
      Applies::kAfterRestart,
      "PEM file of the certificate and its chain: clients then speak TLS (1.2 or later) at "
      "`listen`, "
      "and at `admin` where that is no loopback address. A reload reads both files anew.",
      {"--tls-certificate", "BATCHPROXY_TLS_CERTIFICATE", "FILE",
       "Certificate and chain (PEM): clients speak TLS", 132}};
  Key<std::string> key{
      "key",
      "",
      a_path(),
      Applies::kAfterRestart,
      "PEM file of its key, without a password.",
      {"--tls-key", "BATCHPROXY_TLS_KEY", "FILE", "The certificate's key (PEM)", 134}};
  Key<std::string> ca_file{"ca_file", "", a_path(), Applies::kUnlessSourceChanges,
                           "PEM file of who may have signed the certificates of https:// engines; "
                           "default: the system's. "
                           "A reload reads it anew."};
};

// A line for each request that has ended: see docs/TRACING.md.
struct AccessLogOptions {
  Key<std::string> file{
      "file",
      "",
      a_path(),
      Applies::kOnReload,
      "File for a line for each request, `-` for standard output; without, there is none. One that "
      "is moved away is opened anew within a second.",
      {"--access-log", "BATCHPROXY_ACCESS_LOG", "FILE|-",
       "A line for each request; -: to standard output", 130}};
  Key<std::string> format{"format", "text", one_of({"text", "json"}), Applies::kOnReload,
                          "A line for people, or a JSON object on a line."};
  Key<std::string> which{"which", "all", anything(), Applies::kOnReload,
                         "Which requests: all; failed; slow (and those that failed); or N%, so "
                         "many of a hundred by chance."};
  Key<Seconds> slower_than{"slower_than", Seconds(1), between(0, 86400), Applies::kOnReload,
                           "Seconds from arrival to answer from which on a request is slow."};
};

// Traces of requests for an OpenTelemetry collector: see docs/TRACING.md.
struct TracingOptions {
  Key<std::string> otlp_endpoint{
      "otlp_endpoint",
      "",
      anything(),
      Applies::kOnReload,
      "URL of a collector that takes OTLP over HTTP, such as http://localhost:4318: it is sent a "
      "trace of each request, at /v1/traces; without, there are none.",
      {"--otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "URL",
       "Send traces to this OpenTelemetry collector (OTLP/HTTP)", 136}};
  Key<std::vector<std::string>> otlp_headers{
      "otlp_headers",
      {},
      anything(),
      Applies::kOnReload,
      "Header fields for the collector, such as its key: NAME=VALUE, where %20 is a blank.",
      {"--otlp-header", "OTEL_EXPORTER_OTLP_HEADERS", "NAME=VALUE",
       "A header field for the collector; repeat for more", 137}};
  Key<std::string> otlp_ca_file{
      "otlp_ca_file", "", a_path(), Applies::kOnReload,
      "PEM file of who may have signed the certificate of an https:// collector; default: "
      "`tls.ca_file`, or the system's."};
  Key<std::string> service_name{"service_name",
                                "batchproxy",
                                anything(),
                                Applies::kOnReload,
                                "What traces call this batchproxy.",
                                {"--otlp-service-name", "OTEL_SERVICE_NAME", "NAME",
                                 "What traces call this batchproxy", 138}};
  Key<double> sample{"sample", 1, between(0, 1), Applies::kOnReload,
                     "Share of the requests that are traced, by chance. One that belongs to a "
                     "trace of its client's goes by what that says."};
};

// Everything under the top-level key `batchproxy:`. Unknown or duplicate keys here are errors.
struct ProxyOptions {
  Key<std::string> listen{"listen",
                          "127.0.0.1:8000",
                          an_address(),
                          Applies::kAfterRestart,
                          "HOST:PORT for workers; port 0 picks a free one and prints it.",
                          {"--listen", "BATCHPROXY_LISTEN", "[HOST:]PORT",
                           "Address for workers (default 127.0.0.1:8000; port 0 picks one)", 10}};
  Key<std::string> admin{"admin",
                         "127.0.0.1:8001",
                         an_address(),
                         Applies::kAfterRestart,
                         "HOST:PORT for /metrics, /status, /livez and /readyz.",
                         {"--admin", "BATCHPROXY_ADMIN", "[HOST:]PORT",
                          "Address for /status and /metrics (default 127.0.0.1:8001)", 20}};
  Key<std::string> api_keys_file{
      "api_keys_file",
      "",
      a_path(),
      Applies::kOnReload,
      "File of client keys, `name key` per line, mode 0600; with keys "
      "every path but /health asks for one.",
      {"--api-keys-file", "BATCHPROXY_API_KEYS_FILE", "FILE",
       "Client keys, `name key` per line; without, nobody is asked", 40}};
  Key<bool> allow_unauthenticated{
      "allow_unauthenticated",
      false,
      anything(),
      Applies::kOnReload,
      "true: without keys, listen and admin may be addresses that "
      "others on the network can reach.",
      {"--allow-unauthenticated", "BATCHPROXY_ALLOW_UNAUTHENTICATED", kOptionalBool,
       "Without keys, other addresses than loopback ones may be used", 50}};
  Key<std::int64_t> io_threads{"io_threads",
                               0,
                               between(0, 256),
                               Applies::kAfterRestart,
                               "Threads that serve connections; 0 means one per core, at most four.",
                               {"--io-threads", "BATCHPROXY_IO_THREADS", "N",
                                "Threads that serve connections (default: one per core, most 4)", 80}};
  Key<std::string> flush{"flush",
                         "eager",
                         one_of({kFlushWords.begin(), kFlushWords.end()}),
                         Applies::kOnReload,
                         "eager sends when a backend has room; fixed waits for size or timeout.",
                         {"--flush", "BATCHPROXY_FLUSH", "POLICY",
                          "eager (send when a backend has room) or fixed (size or timeout)", 110}};
  Key<bool> affinity{"affinity", true, anything(), Applies::kOnReload,
                     "Send prompts that begin alike to the engine that holds their beginning."};
  Key<std::string> merge{"merge", "auto", one_of({"auto", "always", "off"}), Applies::kOnReload,
                         "Merge like requests into one call: auto does it while it pays."};
  Key<std::vector<std::string>> pass_headers{
      "pass_headers",
      {},
      anything(),
      Applies::kOnReload,
      "More header fields to pass on, by name: of requests to engines, and of answers to clients."};
  Key<std::vector<std::string>> allowed_origins{
      "allowed_origins",
      {},
      anything(),
      Applies::kOnReload,
      "Web pages whose scripts may call: origins such as http://localhost:3000, or \"*\" for all."};
  Key<std::int64_t> max_body_bytes{"max_body_bytes", 64 << 20, between(1024, 1 << 30),
                                   Applies::kOnReload,
                                   "Largest request body; more is answered 413."};
  Key<std::int64_t> max_answer_bytes{
      "max_answer_bytes", 256 << 20, between(1024, 1LL << 40), Applies::kOnReload,
      "Largest answer of an engine that is read whole; a larger one is answered 502."};
  Key<std::int64_t> max_prompts{"max_prompts", 4096, between(1, 1000000), Applies::kAfterRestart,
                                "Most prompts in one request; more are answered 400."};
  Key<std::int64_t> max_buffered_bytes{
      "max_buffered_bytes", 1 << 30, between(1 << 16, 1LL << 40), Applies::kAfterRestart,
      "Request bodies in memory; reading pauses from 80 %, new ones are answered 503 from 95 %."};
  Key<std::int64_t> max_connections{
      "max_connections", 0, between(0, 1000000), Applies::kAfterRestart,
      "Most clients connected; 0: 0.8 of the file descriptors less 16, at most 16384."};
  Key<std::int64_t> max_queue{"max_queue", 100000, between(1, 10000000), Applies::kOnReload,
                              "Most prompts waiting; more are answered 503 queue_full."};
  Key<Seconds> request_timeout{"request_timeout", Seconds(600), between(0.01, 86400),
                               Applies::kOnReload,
                               "Seconds from arrival to answer for clients that tell no time-out "
                               "of their own (`x-stainless-read-timeout`); then 504."};
  Key<Seconds> max_request_timeout{"max_request_timeout", Seconds(86400), between(0.01, 604800),
                                   Applies::kOnReload,
                                   "Longest that a client which tells its time-out is waited for."};
  Key<Seconds> attempt_timeout{
      "attempt_timeout", Seconds(0), between(0, 86400), Applies::kOnReload,
      "Seconds an engine may take for one answer, or to the first event of a "
      "stream, before another is asked; 0: all of request_timeout."};
  Key<Seconds> stuck_timeout{"stuck_timeout", Seconds(10), between(0, 86400), Applies::kOnReload,
                             "Seconds an engine with work may stand still before its requests are "
                             "asked elsewhere; 0: for ever."};
  Key<Seconds> hold_timeout{"hold_timeout", Seconds(110), between(0, 86400), Applies::kOnReload,
                            "Seconds a request waits while no engine is up; then 503 no_backend."};
  Key<Seconds> connect_timeout{"connect_timeout", Seconds(2), between(0.01, 600),
                               Applies::kOnReload, "Seconds to reach an engine."};
  Key<Seconds> idle_timeout{"idle_timeout", Seconds(120), between(1, 86400), Applies::kOnReload,
                            "Seconds after which a client's idle connection is closed."};
  Key<Seconds> stall_timeout{"stall_timeout", Seconds(30), between(0.1, 86400), Applies::kOnReload,
                             "Seconds in which a client may send no byte of its body, or take none "
                             "of its answer."};
  Key<Seconds> drain_timeout{"drain_timeout", Seconds(60), between(0, 86400), Applies::kOnReload,
                             "Seconds to finish open requests after SIGTERM or Ctrl-C."};
  Key<Seconds> health_interval{"health_interval", Seconds(2), between(0.05, 600),
                               Applies::kOnReload,
                               "Seconds between two looks at an engine's /health."};
  Key<Seconds> health_timeout{"health_timeout", Seconds(10), between(0.05, 600), Applies::kOnReload,
                              "Seconds without an answer to /health, or to anything else, after "
                              "which an engine is taken to be down."};
  Key<Seconds> metrics_interval{"metrics_interval", Seconds(0.25), between(0.05, 600),
                                Applies::kOnReload,
                                "Seconds between two looks at an engine's /metrics."};
  Key<std::string> log_level{
      "log_level",
      "info",
      one_of({"debug", "info", "warning", "error", "off"}),
      Applies::kOnReload,
      "Least important message that is printed.",
      {"--log-level", "BATCHPROXY_LOG_LEVEL", "LEVEL", "debug, info, warning, error or off", 120}};
  Key<std::string> log_format{
      "log_format",
      "text",
      one_of({"text", "json"}),
      Applies::kAfterRestart,
      "text, or json: an object for each message, on standard error.",
      {"--log-format", "BATCHPROXY_LOG_FORMAT", "FORMAT", "text or json", 122}};
  Key<std::vector<BackendOptions>> backends{"backends",
                                            {},
                                            anything(),
                                            Applies::kUnlessSourceChanges,
                                            "Engines that already run.",
                                            {"--backend", "BATCHPROXY_BACKENDS", "URL",
                                             "An engine that already runs; repeat for more", 30}};
  LauncherOptions launcher;     // section `launcher:`
  JobsOptions jobs;             // section `jobs:`
  TlsOptions tls;               // section `tls:`
  AccessLogOptions access_log;  // section `access_log:`
  TracingOptions tracing;       // section `tracing:`
};

struct Options {
  WorkerOptions worker;
  ProxyOptions proxy;
  std::string file;  // the path it was loaded from; empty without --config
  // BATCHPROXY_API_KEYS as it was given, so never to be printed; see proxy/wire/api_keys.h.
  std::string api_keys;
};

}  // namespace batchproxy
