// proxy/thread/io_thread.h - IoThread: everything that one I/O thread owns and shares among its
// sessions.
//
// Threading: made at start-up; then confined to its own thread, except `io` (for posting to it) and
// `metrics` (for reading).
#pragma once

#include <algorithm>
#include <functional>
#include <string>

#include "backends/call/answer_check.h"
#include "backends/call/connection_pool.h"
#include "backends/call/list_codec.h"
#include "backends/call/upstream_call.h"
#include "backends/http/head.h"
#include "backends/json/body_scan.h"
#include "backends/model_table.h"
#include "backends/net/buffer.h"
#include "backends/net/deadline.h"
#include "backends/net/poller.h"
#include "backends/roster.h"
#include "batcher/lane.h"
#include "proxy/limits/body_receiver.h"
#include "proxy/limits/client_cap.h"
#include "proxy/metrics/metrics.h"
#include "proxy/thread/closable.h"
#include "proxy/thread/data_path_settings.h"
#include "proxy/thread/in_flight.h"
#include "proxy/thread/poison_list.h"
#include "proxy/wire/api_keys.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

// What all I/O threads have in common.
struct SharedLimits {
  SharedLimits(const DataPathSettings& settings, std::size_t threads)
      : bytes(settings.max_buffered, threads), clients(settings.max_clients, threads) {}
  ByteBudget bytes;
  ClientCap clients;
};

// What a request asks of the monitor (backends/health/backend_monitor.h), which lives on the
// control thread.
struct MonitorHandle {
  // A call found its backend gone.
  std::function<void(BackendId, bool unreachable)> report_failure;
  // Looks at a backend now, and tells on the control thread whether it is ready.
  std::function<void(BackendId, std::function<void(bool is_ready)>)> look_at;
  // Reads again what the backends serve, and says on the control thread when it has.
  std::function<void(std::function<void()>)> refresh_models;
};

struct IoThread {
  // `limits` must outlive it; `index` counts the threads from 0.
  IoThread(const DataPathSettings& with, SharedLimits& limits, std::size_t index)
      : settings(with),
        clients(limits.clients),
        idle(limits.clients, index),
        receivers(limits.bytes, deadlines),
        upstreams(poller, deadlines, with.connect_timeout),
        scanner(with.bodies.limits) {}
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  RequestId next_request_id() { return {id_prefix, ++last_id}; }

  // How long a call that begins now may take, for a request that must end by `deadline`.
  TimePoint attempt_deadline(TimePoint deadline) const {
    if (settings.attempt_timeout == Duration::zero()) return deadline;
    return std::min(deadline, std::chrono::steady_clock::now() + settings.attempt_timeout);
  }

  UpstreamCall::Resources upstream_resources() {
    return {upstreams, buffers, response_head, text, settings.max_answer, &settings.passed.answer};
  }

  // Whether the log is told why an answer is refused: once a second says enough.
  bool may_tell_refused(TimePoint now) {
    if (now - told_refused < std::chrono::seconds(1)) return false;
    told_refused = now;
    return true;
  }

  DataPathSettings settings;  // replaced from outside by posting to `io`
  // Before `io`: whatever is suspended when that is destroyed still gives back to these.
  BufferPool buffers;
  alignas(64) ThreadMetrics metrics;
  ClientCap& clients;
  IdleClients idle;
  ReceiverQueue receivers;
  InFlightList in_flight;
  ClosableList sessions;

  asio::io_context io{1};
  DeadlineQueue deadlines{io};
  Poller poller{io};  // outlives the connections that are kept
  ConnectionPool upstreams;
  LaneHandle* lane = nullptr;

  // Scratch: too large for every request, and never held across a suspension.
  http::RequestHead request_head;
  http::ResponseHead response_head;
  std::string text;     // of a head, or its fields, being composed
  std::string id_text;  // and of the id in it
  BodyScanner scanner;
  ListReader list_reader;
  AnswerChecker answer_checker;

  ModelTablePtr models;  // the newest; replaced from outside by posting to `io`
  ApiKeysPtr keys;       // null: none are asked for; likewise
  RosterPtr roster = std::make_shared<const Roster>();  // the backends, as last published; likewise
  bool draining = false;                                // answer, then close; likewise
  bool shutting_down = false;                           // answer at once that it is over; likewise

  PoisonList* poison = nullptr;  // shared by all threads

  MonitorHandle monitor;

  // Requests of all threads that wait, or are with a backend.
  std::function<std::uint64_t()> load;

  TimePoint told_refused{};
  std::string id_prefix;
  std::uint64_t last_id = 0;
};

}  // namespace batchproxy
