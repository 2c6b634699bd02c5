// proxy/metrics/metrics.h - every metric: its name, kind, labels and meaning.
//
// To add a metric, add one line here, and count. The sum over the threads, /metrics, /status where
// the line says so, and docs/METRICS.md all walk these structs with boost::pfr, so they must stay
// plain aggregates whose members are metrics. /metrics shows them in this order.
//
// The conservation law, exact whenever nothing moves:
//   received = sum of finished + queued + in flight
//
// Threading: each I/O thread counts in Metrics of its own, with plain loads and stores (relaxed);
// a scrape sums them, and adds what others keep: the lane, the monitor, the reload.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "backends/call/call_failure.h"
#include "batcher/base/backend_set.h"
#include "batcher/base/error.h"
#include "batcher/base/finish.h"
#include "batcher/base/flush_reason.h"
#include "proxy/metrics/metric.h"
#include "proxy/wire/api_keys.h"

namespace batchproxy {

// Why a client could not be taken.
enum class AcceptError { kEmfile, kEnfile, kOther, kCount };
struct AcceptErrorRow {
  AcceptError id{};
  std::string_view word{};
};
inline constexpr EnumTable<AcceptErrorRow> kAcceptErrors({{AcceptError::kEmfile, "EMFILE"},
                                                          {AcceptError::kEnfile, "ENFILE"},
                                                          {AcceptError::kOther, "other"}});

// Where a key is counted, see ApiKeys::Key::slot. Its label is the key's name.
enum class KeySlot : std::size_t {};

template <>
struct LabelOf<Finish> {
  static constexpr std::string_view kName = "result";
  static constexpr std::size_t kSize = kCountOf<Finish>;
  static std::string_view word(std::size_t i) { return to_string(static_cast<Finish>(i)); }
};
template <>
struct LabelOf<Errc> {
  static constexpr std::string_view kName = "code";
  static constexpr std::size_t kSize = kCountOf<Errc>;
  static std::string_view word(std::size_t i) { return describe(static_cast<Errc>(i)).code; }
};
template <>
struct LabelOf<FlushReason> {
  static constexpr std::string_view kName = "reason";
  static constexpr std::size_t kSize = kAllFlushReasons.size();
  static std::string_view word(std::size_t i) { return to_string(kAllFlushReasons[i]); }
};
template <>
struct LabelOf<CallFailure> {
  static constexpr std::string_view kName = "reason";
  static constexpr std::size_t kSize = kCallFailures;
  static std::string_view word(std::size_t i) { return to_string(static_cast<CallFailure>(i)); }
};
template <>
struct LabelOf<AcceptError> {
  static constexpr std::string_view kName = "errno";
  static constexpr std::size_t kSize = kCountOf<AcceptError>;
  static std::string_view word(std::size_t i) {
    return kAcceptErrors[static_cast<AcceptError>(i)].word;
  }
};
template <>
struct LabelOf<KeySlot> {
  static constexpr std::string_view kName = "key";
  static constexpr std::size_t kSize = kMaxKeySlots;
};

// The metrics of one backend: each has the label `backend`.
struct BackendMetrics {
  Gauge<"batchproxy_backend_up", "1 while the backend is ready."> up;
  Gauge<"batchproxy_backend_inflight", "Prompts in flight to the backend.", "inflight"> inflight;
  Gauge<"batchproxy_backend_room", "Prompts that the backend should have in flight.", "room"> room;
  Counter<"batchproxy_backend_answered_total", "Requests that the backend has answered.",
          "answered">
      answered;
  Gauge<"batchproxy_backend_stuck", "1 while it stands still with requests in hand."> stuck;
  Counter<"batchproxy_engine_restarts_total", "Times that the engine was started again.",
          "restarts">
      restarts;
  Gauge<"batchproxy_backend_breaker_open", "1 while its calls fail and it is given next to none.">
      breaker_open;
  // An answer 5xx, or one that asks to wait, counts as kNone.
  CounterBy<CallFailure, "batchproxy_attempts_failed_total",
            "Calls that failed, by backend and reason.">
      failed_attempts;
};

// More of one backend, with the same label: what the lane, the control thread and the backend
// itself know. No I/O thread counts here.
struct BackendFigures {
  Latency<"batchproxy_backend_answer_duration_seconds",
          "From the sending of a request to the end of its good answer.">
      takes;
  Measure<"batchproxy_backend_oldest_inflight_seconds",
          "How long the backend has had the oldest request that it has.", "oldest_seconds">
      oldest;
  Measure<"batchproxy_backend_quiet_seconds",
          "How long no byte has come of the requests that it has.", "quiet_seconds">
      quiet;
  // These the backend tells itself.
  Gauge<"batchproxy_backend_engine_running", "Requests that the backend says it works on.",
        "engine_running">
      engine_running;
  Gauge<"batchproxy_backend_engine_waiting", "Requests that the backend says wait in it.",
        "engine_waiting">
      engine_waiting;
  Measure<"batchproxy_backend_kv_cache_usage_ratio", "Used part of the backend's KV cache, 0 to 1.",
          "kv_use">
      kv_use;
  Counter<"batchproxy_backend_prompt_tokens_total",
          "Tokens of prompts, as the backend counts them.", "prompt_tokens">
      prompt_tokens;
  Counter<"batchproxy_backend_generation_tokens_total",
          "Tokens of answers, as the backend counts them.", "generation_tokens">
      generation_tokens;
  Counter<"batchproxy_backend_prefix_cache_queries_total",
          "Tokens that the backend looked for in its prefix cache.">
      prefix_queries;
  Counter<"batchproxy_backend_prefix_cache_hits_total",
          "Tokens that the backend found in its prefix cache.">
      prefix_hits;
  Gauge<"batchproxy_backend_slow",
        "1 while its answers take more than twice as long as is usual for its model.">
      slow;
  Gauge<"batchproxy_engine_repairs", "Changes of the engine's command that let it start."> repaired;
  Measure<"batchproxy_backend_state_seconds", "How long the backend has been in its state.",
          "state_seconds">
      in_state;
};

// The metrics of one model: each has the label `model`.
struct ModelMetrics {
  CounterBy<Finish, "batchproxy_model_requests_finished_total",
            "Requests that named a model and have ended, by how. Those that led to no backend, and "
            "models beyond the first 255, are `(others)`.">
      finished;
};

// The metrics of one GPU of this machine, where we start engines on GPUs: each has the label `gpu`,
// its index. One that the driver does not tell has no sample.
struct GpuMetrics {
  static constexpr std::uint64_t kUntold = ~std::uint64_t{0};

  Gauge<"batchproxy_gpu_memory_total_bytes", "Memory of the GPU.", "memory_total"> memory_total;
  Gauge<"batchproxy_gpu_memory_used_bytes", "Memory of the GPU that is in use, by whomever.",
        "memory_used">
      memory_used;
  Gauge<"batchproxy_gpu_utilization_percent",
        "Part of the time in which the GPU has been at work of late.", "utilization_percent">
      utilization;
  Gauge<"batchproxy_gpu_temperature_celsius", "Temperature of the GPU.", "temperature_celsius">
      temperature;
  Counter<"batchproxy_gpu_nvlink_sent_bytes_total", "Sent by the GPU over all of its NVLinks.">
      nvlink_sent;
  Counter<"batchproxy_gpu_nvlink_received_bytes_total",
          "Received by the GPU over all of its NVLinks.">
      nvlink_received;
};

// One flat list, as boost::pfr walks it: a metric is a member here and nothing else.
struct Metrics {
  Counter<"batchproxy_requests_received_total", "Requests received whole.", "requests.received">
      received;
  CounterBy<Finish, "batchproxy_requests_finished_total", "Requests that have ended, by how.",
            "requests.finished">
      finished;
  Gauge<"batchproxy_requests_queued", "Requests that wait for a backend.", "requests.queued">
      queued;
  Gauge<"batchproxy_requests_inflight", "Requests that a backend is working on.",
        "requests.inflight">
      inflight;
  Gauge<"batchproxy_prompts_queued", "Prompts that wait for a backend.", "prompts.queued">
      queued_prompts;
  Counter<"batchproxy_prompts_answered_total", "Prompts answered with success.", "prompts.answered">
      prompts_answered;
  Counter<"batchproxy_requests_retried_total", "Attempts repeated after one had failed.",
          "requests.retried">
      retried;
  Counter<"batchproxy_poison_prompts_total",
          "Requests that engines died with until they were not sent again.">
      poisoned;
  Counter<"batchproxy_batch_splits_total",
          "Shared calls that an engine refused and that went out again in halves.">
      split_calls;
  Counter<"batchproxy_batch_mismatch_total",
          "Shared calls whose answer did not hold one choice for each member.">
      mismatched_calls;
  Counter<"batchproxy_streams_aborted_total", "Streams that a backend did not finish.">
      broken_streams;
  Counter<"batchproxy_stale_connections_total",
          "Kept connections to backends that were dead when they were used, and replaced.">
      stale_connections;
  Counter<"batchproxy_requests_affine_total",
          "Requests sent to a backend that held the beginning of their prompt.", "requests.affine">
      affine;
  Counter<"batchproxy_merged_calls_total", "Calls that carried several requests.", "merged_calls">
      merged_calls;
  Counter<"batchproxy_merged_requests_total", "Requests that shared a call.", "requests.merged">
      merged_requests;
  Counter<"batchproxy_requests_replayed_total",
          "Requests of a job that were answered with what was recorded.", "requests.replayed">
      replayed;
  Counter<"batchproxy_requests_unrecorded_total",
          "Answers of a job that could not be recorded; they were passed on.">
      unrecorded;
  Counter<"batchproxy_access_log_lost_total",
          "Requests without their line in the access log, which was too slow or not to be written.">
      unlogged;
  Counter<"batchproxy_traces_sent_total", "Requests whose spans the collector of traces has taken.">
      traces_sent;
  Counter<"batchproxy_traces_dropped_total",
          "Requests whose spans are lost: the collector was away, too slow, or refused them.">
      traces_dropped;
  CounterBy<Errc, "batchproxy_errors_total", "Error answers of our own, by code."> errors;
  // Of those that ended in kOk.
  Latency<"batchproxy_request_duration_seconds",
          "From the arrival of a request to the end of its answer, for those that succeeded.">
      latency;
  FirstBytes<"batchproxy_time_to_first_byte_seconds",
             "From the arrival of a streamed request to the first byte of its answer, for those "
             "that succeeded. Others have their first byte when they end.">
      first_bytes;
  Latency<"batchproxy_queue_wait_seconds",
          "From the arrival of a request until it was sent to a backend; again for a retry.">
      waits;
  Measure<"batchproxy_queue_oldest_seconds", "How long the oldest request has waited.",
          "queue.oldest_seconds">
      oldest_waiting;
  CounterBy<FlushReason, "batchproxy_batches_total", "Batches that left, by reason.", "batches">
      batches;
  Sizes<"batchproxy_batch_prompts", "Prompts of a batch."> batch_prompts;
  std::array<BackendMetrics, BackendSet::kMax> by_backend;  // by BackendId
  CounterBy<KeySlot, "batchproxy_key_requests_total", "Requests by the name of their key."> by_key;
  IdleAndActive<"batchproxy_connections",
                "Clients connected: idle between two requests, or active.", "connections">
      connections;
  Counter<"batchproxy_connections_evicted_total", "Idle clients closed to make room."> evicted;
  Gauge<"batchproxy_buffered_bytes", "Bytes of request bodies in memory."> buffered;
  Counter<"batchproxy_received_bytes_total", "Bytes of request bodies that have come.">
      received_bytes;
  Counter<"batchproxy_sent_bytes_total", "Bytes of answers that were written to clients.">
      sent_bytes;
  CounterBy<AcceptError, "batchproxy_accept_errors_total",
            "Times that a client could not be taken.">
      accept_errors;
  Counter<"batchproxy_connections_accepted_total", "Clients accepted ever."> accepted;
  Gauge<"batchproxy_config_generation", "Grows with every reload that took effect.",
        "config.generation">
      config_generation;
  Gauge<"batchproxy_config_last_reload_success", "0 after a reload that was refused.",
        "config.last_reload_success">
      last_reload_success;
  Gauge<"batchproxy_jobs_unfinished", "Batches of clients that run, or wait for their turn.">
      jobs_unfinished;
  Gauge<"batchproxy_recorded_jobs",
        "Jobs (x-batchproxy-job) with a request in the last ten minutes.">
      recorded_jobs;
  Gauge<"batchproxy_state_free_bytes",
        "Free for uploaded files, batches and records of jobs (batchproxy.jobs.directory).">
      state_free;
  Gauge<"batchproxy_tls_certificate_expires_seconds",
        "When our own certificate ends, as seconds since 1970; 0 without one.">
      certificate_expires;
  Gauge<"batchproxy_ui_streams", "Open streams of /ui/events on the admin address."> ui_streams;
  Counter<
      "batchproxy_ui_pictures_total",
      "Pictures made for these streams: one a second for all of them, none while there is none.">
      ui_pictures;
  Measure<"batchproxy_uptime_seconds", "Since the start."> up_for;
  Info<"batchproxy_build_info", "Always 1.", "version", BATCHPROXY_VERSION> build;

  void count_answered(BackendId backend) { by_backend[backend].answered.add(); }
  void count_error(Errc code) { errors[code].add(); }
  void count_failed_attempt(BackendId backend, CallFailure how) {
    by_backend[backend].failed_attempts[how].add();
  }
  void count_finish(Finish finish) { finished[finish].add(); }
};
using ThreadMetrics = Metrics;  // of one I/O thread

// Adds what a thread has counted.
void add(Metrics& sum, const Metrics& thread);

}  // namespace batchproxy
