// proxy/thread/io_thread.h - IoThread: what one I/O thread owns and shares among its sessions.
//
//   clients    who is connected, and how much of them may still be taken
//   net        the event loop, and everything that has a socket or a deadline in it
//   scratch    memory that is too large for every request
//   published  what the control thread has decided: backends, models, keys, whether it is over
//
// A request needs settings, net, scratch, published, the lane's handle, and where to count.
//
// Threading: made at start-up; then confined to its own thread, except `net.io` (for posting to it)
// and `metrics` (for reading).
#pragma once

#include <algorithm>
#include <array>
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
#include "proxy/jobs/recorder.h"
#include "proxy/limits/body_receiver.h"
#include "proxy/limits/client_cap.h"
#include "proxy/metrics/metrics.h"
#include "proxy/metrics/model_tally.h"
#include "proxy/thread/closable.h"
#include "proxy/thread/data_path_settings.h"
#include "proxy/thread/handed_over.h"
#include "proxy/thread/in_flight.h"
#include "proxy/thread/internal_mark.h"
#include "proxy/thread/lacking_models.h"
#include "proxy/thread/poison_list.h"
#include "proxy/trace/record_ring.h"
#include "proxy/wire/api_keys.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

// Limits that all I/O threads have in common.
struct SharedLimits {
  SharedLimits(const DataPathSettings& settings, std::size_t threads)
      : bytes(settings.max_buffered, threads), clients(settings.max_clients, threads) {}
  ByteBudget bytes;
  ClientCap clients;
};

// The questions of a request to the monitor (backends/health/backend_monitor.h), which lives on the
// control thread.
struct MonitorHandle {
  // A call found its backend gone.
  std::function<void(BackendId, bool unreachable)> report_failure;
  // Looks at a backend now, and tells on the control thread whether it is ready.
  std::function<void(BackendId, std::function<void(bool is_ready)>)> look_at;
  // Reads again what the backends serve, and says on the control thread when it has.
  std::function<void(std::function<void()>)> refresh_models;
};

// The thread's clients.
struct ClientSide {
  ClientSide(SharedLimits& limits, std::size_t thread, DeadlineQueue& deadlines)
      : cap(limits.clients), idle(limits.clients, thread), receivers(limits.bytes, deadlines) {}

  ClientCap& cap;           // of all threads
  IdleClients idle;         // between two requests
  ReceiverQueue receivers;  // bodies that are being read
  ClosableList sessions;    // all
};

// The thread's event loop, and what lives in it.
struct Net {
  explicit Net(Duration connect_timeout) : upstreams(poller, deadlines, connect_timeout) {}

  BufferPool buffers;  // before `io`: whatever is suspended when that goes gives back to it
  asio::io_context io{1};
  DeadlineQueue deadlines{io};
  Poller poller{io};  // outlives the connections that are kept
  ConnectionPool upstreams;
};

// Memory for whoever runs: never held across a suspension.
struct Scratch {
  explicit Scratch(const BodyLimits& limits) : scanner(limits) {}

  http::RequestHead request_head;
  http::ResponseHead response_head;
  std::string text;     // of a head, or its fields, being composed
  std::string id_text;  // and of the id in it
  BodyScanner scanner;
  ListReader list_reader;
  AnswerChecker answer_checker;
};

// Replaced by the control thread, by posting to the thread's loop.
struct Published {
  RosterPtr roster = std::make_shared<const Roster>();  // the backends
  ModelTablePtr models;                                 // and who of them serves what
  ApiKeysPtr keys;                                      // null: none are asked for
  TlsContextPtr tls;                                    // of new clients; null: they are plain
  bool draining = false;                                // answer, then close
  bool shutting_down = false;                           // answer at once that it is over
};

// Ids of requests that no other thread, and no other start of the process, gives out.
struct RequestIds {
  RequestId next() { return {prefix, ++last}; }

  std::string prefix;
  std::uint64_t last = 0;
};

struct IoThread {
  // `limits` must outlive it; `index` counts the threads from 0.
  IoThread(const DataPathSettings& with, SharedLimits& limits, std::size_t index)
      : settings(with),
        clients(limits, index, net.deadlines),
        net(with.connect_timeout),
        scratch(with.bodies.limits) {}
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // How long a call that begins now may take, for a request that must end by `deadline`.
  TimePoint attempt_deadline(TimePoint deadline) const {
    if (settings.attempt_timeout == Duration::zero()) return deadline;
    return std::min(deadline, std::chrono::steady_clock::now() + settings.attempt_timeout);
  }

  UpstreamCall::Resources upstream_resources() {
    return {net.upstreams, net.buffers,         scratch.response_head,
            scratch.text,  settings.max_answer, &settings.passed.answer};
  }

  // Whether the log is told why an answer is refused: once a second says enough.
  bool may_tell_refused(TimePoint now) {
    if (now - told_refused < std::chrono::seconds(1)) return false;
    told_refused = now;
    return true;
  }

  DataPathSettings settings;  // replaced as `published` is
  // These before `net`: whatever is suspended when its loop goes still counts, and leaves lists.
  alignas(64) ThreadMetrics metrics;
  ClientSide clients;
  InFlightList in_flight;

  Net net;
  LaneHandle* lane = nullptr;
  Scratch scratch;
  Published published;
  RequestIds ids;

  PoisonList* poison = nullptr;  // of all threads
  Recorder* recorder = nullptr;  // of all threads; null: no request is recorded
  MonitorHandle monitor;
  std::function<std::uint64_t()> load;  // requests of all threads that wait, or are with a backend
  const InternalMark* internal = nullptr;  // of the process
  HandOver hand_over;                      // where requests about files and batches go
  LackingModels without_decisions;         // a /v1/decisions of their engines' own
  TimePoint told_refused{};

  RecordRing records;                                                // of requests that have ended
  ModelTally models;                                                 // what requests have named
  std::array<const std::string*, BackendSet::kMax> backend_names{};  // by BackendId
};

}  // namespace batchproxy
