// tests/fault_sim/sim_merged.h - SimMerged: drives a MergeCore (proxy/request/merge_core.h) in
// virtual time, against fake servers, as MergedCall does with sockets.
//
// Threading: test code, one thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "proxy/request/merge_core.h"
#include "tests/fault_sim/sim_thread.h"

namespace batchproxy::fault_sim {

class SimLeg;

class SimMerged final : public Caller, private InFlight {
 public:
  // Begins at once. Lives as long as `thread`.
  static void start(SimThread& thread, SimLeg& leader);

  SimMerged(SimThread& thread, SimLeg& leader);
  ~SimMerged();

 private:
  void obey(MergeCore::Do next);
  void go_on();
  void call();
  void on_head(std::uint64_t) override {}
  void on_reply(std::uint64_t call, const Reply& reply) override;
  void on_killed_engine() override;
  void tell_group(const Reply& reply);
  void abort();
  void look_for_members();
  void look_now_and_then();
  Marker marker() const;
  BackendId called() const override { return backend_; }
  void on_stuck() override;
  void on_recall(const Recall&) override {}

  SimThread& thread_;
  const BackendId backend_;
  FakeServer* const server_;
  const std::vector<SimLeg*> members_;
  MergeCore core_;
  bool calling_ = false, ended_ = false;
  std::uint64_t calls_ = 0;
  Reply reply_;
};

}  // namespace batchproxy::fault_sim
