// proxy/control/data_plane.h - DataPlane: the I/O threads, the lane between them, and the port they
// share.
//
// Threading: every member is called on the control thread; DataPlane posts to the others.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backends/health/backend_monitor.h"
#include "backends/roster.h"
#include "batcher/lane.h"
#include "proxy/edge/listener.h"
#include "proxy/metrics/snapshot.h"
#include "proxy/thread/io_thread.h"
#include "proxy/otlp/span_exporter.h"
#include "proxy/trace/access_log.h"
#include "proxy/trace/name_table.h"
#include "proxy/trace/record_search.h"

namespace batchproxy {

class DataPlane {
 public:
  struct Setup {
    DataPathSettings settings;
    SchedulerOptions scheduler;
    ApiKeysPtr keys;    // null: none are asked for
    TlsContextPtr tls;  // null: clients are plain
    std::size_t threads = 1;
    std::string records;  // file for the answers of jobs
    AccessLogSettings access_log;
    ExportSettings spans;
    AccessLog::Beside beside;  // other output; may be empty
    // These are called on any thread.
    std::function<void(BackendId, bool unreachable)> report_failure;
    std::function<void(BackendId, BackendMonitor::Tell)> look_at;
    std::function<void(BackendMonitor::Done)> refresh_models;
    HandOver hand_over;
    const InternalMark* internal = nullptr;  // outlives the DataPlane
    Lane::OnBatchDone on_batch_done;         // called on the lane; may be empty
    Lane::OnStall on_stall;                  // likewise
  };

  explicit DataPlane(Setup setup);
  ~DataPlane();  // stops and joins

  // Takes the port; throws std::runtime_error. Returns the address, with its real port.
  asio::ip::tcp::endpoint listen(const std::string& host_port, const MayHave& may_have);
  // One more, on loopback, for requests of our own: without TLS.
  asio::ip::tcp::endpoint listen_plainly(const MayHave& may_have);
  void start();

  // These are the backends from now on. What is another than in the last roster is told to the lane
  // and to the threads; who serves what to the threads first, so that they know what the lane then
  // grants. One that takes the place of another has no calls of that any more.
  void publish(RosterPtr roster);
  // From the next request on.
  void set_keys(ApiKeysPtr keys);
  // For those who connect from now on.
  void set_tls(TlsContextPtr tls);
  // The metrics of a backend, or nothing when they could not be read.
  void observe(BackendId backend, const std::optional<EngineSample>& sample);

  // Other settings from now on; what is under way goes by the old ones.
  void set_settings(const DataPathSettings& settings, const SchedulerOptions& scheduler);
  void set_access_log(AccessLogSettings settings) { access_log_.set(std::move(settings)); }
  void set_spans(ExportSettings settings) { spans_.set(std::move(settings)); }

  // Takes the clients that have connected already and no more, and ends each after the answer
  // under way; one that might be about to ask has a moment to do so.
  void drain();
  // Answers whatever is not done yet with an error.
  void cut_short();
  // Cuts off the clients that are left.
  void close_all();
  // Whether drain() has taken effect everywhere and no client is left.
  bool drained() const;

  // Prompts in flight to a backend.
  std::uint32_t inflight(BackendId backend) const;
  std::uint64_t answered(BackendId backend) const;  // so far
  std::uint64_t load() const;                       // requests that wait, or are with a backend
  void collect(Snapshot& into, TimePoint now) const;
  // Looks at the recorded jobs anew, for collect(): to be called once a second.
  void look_at_jobs() { recorder_.look_at_jobs(); }

  using Found = std::vector<RequestRecord>;
  // Among the requests that ended last. `tell` is called on any thread.
  void search(const RecordSearch& search, std::function<void(Found)> tell);

 private:
  std::vector<RecordedJobSnapshot> recording_jobs() const;
  void on_stall(const Stall& stall);
  void tell_lane(const BackendRecord& backend, const BackendRecord* before);
  void set_endpoint(const EndpointPtr& endpoint);
  void on_every_thread(const std::function<void(IoThread&)>& action);
  void stop();

  SharedLimits limits_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<asio::io_context> lane_io_;  // null when the lane lives on the only I/O thread
  std::unique_ptr<Lane> lane_;
  Lane::OnStall told_of_stall_;
  NameTable backend_names_;  // of all that there have been; outlives what the threads keep
  ApiKeysPtr keys_;
  RosterPtr roster_ = std::make_shared<const Roster>();  // as last published
  PoisonList poison_;
  Recorder recorder_;                // goes before the threads, to which it posts
  std::vector<Acceptor> acceptors_;  // one for each thread, and maybe a plain one on the first
  std::atomic<std::size_t> closed_acceptors_{0};
  const AccessLogSettings access_log_settings_;  // to start with
  const ExportSettings span_settings_;           // likewise
  AccessLog access_log_;
  SpanExporter spans_;
  std::vector<std::thread> running_;
};

}  // namespace batchproxy
