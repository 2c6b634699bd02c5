// proxy/control/settings.cc - see settings.h.
#include "proxy/control/settings.h"

#include <algorithm>
#include <limits>

#include "batcher/flush/flush_policies.h"
#include "configs/schema/host_port.h"
#include "proxy/limits/client_cap.h"

namespace batchproxy {

namespace {

constexpr bool is_policy(std::string_view word) {
  return std::ranges::find(kFlushPolicies, word, &FlushPolicyRow::word) != kFlushPolicies.end();
}

// `off` is not written as a word of `flush`, but as `enable_batching: false`.
constexpr bool can_be_asked_for(const FlushPolicyRow& row) {
  return row.id == FlushPolicy::kOff ||
         std::ranges::find(kFlushWords, row.word) != kFlushWords.end();
}

static_assert(std::ranges::all_of(kFlushWords, is_policy),
              "each word of kFlushWords has its row in batcher/flush/flush_policies.h");
static_assert(std::ranges::all_of(kFlushPolicies, can_be_asked_for),
              "each word in batcher/flush/flush_policies.h is among kFlushWords");

// The largest of that share of all numbers.
std::uint64_t share_of_all(double share) {
  constexpr auto kLargest = std::numeric_limits<std::uint64_t>::max();
  if (share >= 1) return kLargest;
  return share <= 0 ? 0 : static_cast<std::uint64_t>(share * 0x1p64);
}

MergePolicy merge_policy(std::string_view name) {
  if (name == "always") return MergePolicy::kAlways;
  return name == "off" ? MergePolicy::kOff : MergePolicy::kAuto;
}

}  // namespace

Duration to_duration(Seconds seconds) {
  return std::chrono::duration_cast<Duration>(seconds);
}

FlushPolicy flush_policy(const Options& options) {
  if (!*options.worker.enable_batching) return FlushPolicy::kOff;
  // The key takes no other words, as asserted above.
  return flush_policy_of(*options.proxy.flush).value_or(FlushPolicy::kEager);
}

SchedulerOptions scheduler_options(const Options& options) {
  SchedulerOptions scheduler;
  scheduler.policy = flush_policy(options);
  scheduler.batch_size = static_cast<std::uint32_t>(*options.worker.batch_size);
  scheduler.batch_timeout = to_duration(*options.worker.batch_timeout);
  scheduler.max_queue = static_cast<std::size_t>(*options.proxy.max_queue);
  scheduler.hold_timeout = to_duration(*options.proxy.hold_timeout);
  scheduler.stuck_timeout = to_duration(*options.proxy.stuck_timeout);
  scheduler.background_share = *options.proxy.jobs.room_share;
  scheduler.affinity = *options.proxy.affinity;
  scheduler.merge = merge_policy(*options.proxy.merge);
  return scheduler;
}

boost::system::result<TlsContextPtr, std::string> tls_context(const Options& options) {
  const TlsOptions& tls = options.proxy.tls;
  if (tls.certificate->empty()) return TlsContextPtr();
  return TlsContext::of_server(*tls.certificate, *tls.key);
}

boost::system::result<ExportSettings, std::string> export_settings(const Options& options) {
  const TracingOptions& tracing = options.proxy.tracing;
  ExportSettings settings;
  if (tracing.otlp_endpoint->empty()) return settings;
  const CollectorUrl at = parse_collector_url(*tracing.otlp_endpoint);  // it has been checked
  settings.url = *tracing.otlp_endpoint;
  settings.collector.authority = to_string(at.address);
  settings.collector.name = settings.collector.authority;
  settings.host = at.address;
  settings.path = at.path;
  settings.service_name = *tracing.service_name;
  for (const std::string& header : *tracing.otlp_headers) {
    if (auto field = parse_header_pair(header)) settings.headers.push_back(*std::move(field));
  }
  if (!at.secured) return settings;
  const std::string& own = *tracing.otlp_ca_file;
  auto context = TlsContext::of_client(own.empty() ? *options.proxy.tls.ca_file : own);
  if (!context) return {boost::system::in_place_error, "tracing: " + context.error()};
  settings.collector.tls = *std::move(context);
  settings.collector.server_name = at.address.host;
  return settings;
}

AccessLogSettings access_log_settings(const Options& options) {
  const AccessLogOptions& log = options.proxy.access_log;
  AccessLogSettings settings;
  settings.file = *log.file;
  settings.json = *log.format == "json";
  settings.which = read_log_choice(*log.which).value_or(LogChoice{});  // it has been checked
  settings.slower_than = to_duration(*log.slower_than);
  return settings;
}

DataPathSettings data_path_settings(const Options& options, std::size_t backends) {
  const SchedulerOptions scheduler = scheduler_options(options);
  const ProxyOptions& proxy = options.proxy;
  DataPathSettings settings;
  settings.max_body = static_cast<std::uint64_t>(*proxy.max_body_bytes);
  settings.passed = PassedFields(*proxy.pass_headers);
  settings.cors = Cors(*proxy.allowed_origins);
  settings.max_answer = static_cast<std::uint64_t>(*proxy.max_answer_bytes);
  settings.request_timeout = to_duration(*proxy.request_timeout);
  settings.max_request_timeout = to_duration(*proxy.max_request_timeout);
  settings.holds_for_room = scheduler.policy != FlushPolicy::kOff;
  settings.attempt_timeout = to_duration(*proxy.attempt_timeout);
  settings.connect_timeout = to_duration(*proxy.connect_timeout);
  settings.idle_timeout = to_duration(*proxy.idle_timeout);
  settings.job_by_key = *proxy.jobs.by_key;
  const TracingOptions& tracing = proxy.tracing;
  if (!tracing.otlp_endpoint->empty()) settings.traced_up_to = share_of_all(*tracing.sample);
  settings.max_buffered = static_cast<std::uint64_t>(*proxy.max_buffered_bytes);
  settings.descriptors = descriptor_limit();
  settings.max_clients =
      client_limit(static_cast<std::uint64_t>(*proxy.max_connections), descriptor_limit());
  settings.body_pace.stall = to_duration(*proxy.stall_timeout);
  settings.write_stall = to_duration(*proxy.stall_timeout);
  // Bodies are looked into for no more than the scheduler will use.
  BodyPolicy& bodies = settings.bodies;
  const bool batches = scheduler.policy != FlushPolicy::kOff;
  bodies.prefixes = scheduler.policy == FlushPolicy::kEager && scheduler.affinity && backends > 1;
  bodies.merging = batches && scheduler.merge != MergePolicy::kOff;
  bodies.list_piece = batches ? scheduler.batch_size : 0;
  bodies.max_list = scheduler.max_queue;
  bodies.limits.prompts = static_cast<std::uint32_t>(*proxy.max_prompts);
  return settings;
}

}  // namespace batchproxy
