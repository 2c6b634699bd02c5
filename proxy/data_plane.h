// proxy/data_plane.h - DataPlane: the I/O threads, the lane between them, and the port they share.
//
// Threading: every member is called on the control thread; DataPlane posts to the others.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backends/backend_monitor.h"
#include "batcher/lane.h"
#include "proxy/io_thread.h"
#include "proxy/listener.h"
#include "proxy/snapshot.h"
#include "proxy/topology.h"

namespace batchproxy {

class DataPlane {
 public:
  struct Setup {
    DataPathSettings settings;
    SchedulerOptions scheduler;
    std::size_t threads = 1;
    std::function<void(BackendId, bool unreachable)> report_failure;  // called on any thread
    Lane::OnBatchDone on_batch_done;  // called on the lane; may be empty
  };

  // `sites` must outlive it.
  DataPlane(Setup setup, const std::vector<BackendSite>& sites);
  ~DataPlane();  // stops and joins

  // Takes the port; throws std::runtime_error. Returns the address, with its real port.
  asio::ip::tcp::endpoint listen(const std::string& host_port);
  void start();

  void set_ready(BackendId backend, bool ready, bool any_ready);
  void set_models(ModelTablePtr models);
  void set_abilities(BackendId backend, const Abilities& abilities);
  void set_metrics(BackendId backend, const std::optional<EngineMetrics>& metrics);

  // Takes no new clients, ends idle ones, and every other after the answer under way.
  void drain();
  // Cuts off the clients that are left.
  void close_all();
  // Whether drain() has taken effect everywhere and no client is left.
  bool drained() const;

  void collect(Snapshot& into) const;

 private:
  void on_every_thread(const std::function<void(IoThread&)>& action);
  void stop();

  SharedLimits limits_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<asio::io_context> lane_io_;  // null when the lane lives on the only I/O thread
  std::unique_ptr<Lane> lane_;
  std::vector<BackendTraits> traits_;  // as the lane has been told, by BackendId
  std::vector<Acceptor> acceptors_;
  std::atomic<std::size_t> closed_acceptors_{0};
  std::vector<std::thread> running_;
};

}  // namespace batchproxy
