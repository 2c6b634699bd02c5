// tests/fault_sim/sim_request.h - SimRequest: does with a request what RequestHandler does
// (proxy/request/request_handler.cc): one job, or one for each piece of a list, and one end.
//
// Threading: test code, one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/fault_sim/sim_job.h"

namespace batchproxy::fault_sim {

// What a client asks for, and how it behaves.
struct Ask {
  static constexpr Duration kLong = std::chrono::seconds(600);  // the patience of most clients

  std::uint64_t number = 0;
  Marker marker = Marker::kInnocent;
  std::string model;
  Duration timeout = kLong;
  std::vector<std::uint32_t> pieces;  // prompts of each job
  bool streaming = false;
  bool merges = false;  // may share a call with others
  std::uint64_t client = 0;
  std::optional<std::uint32_t> passage;
};

class SimRequest {
 public:
  SimRequest(SimThread& thread, Ask ask, std::function<void(Finish)> ended);

  void serve();
  void on_client_gone();
  void cut_short() { cancel_jobs(); }

  bool is_finished() const { return finished_; }
  const Ask& ask() const { return ask_; }

 private:
  void cancel_jobs();
  void on_done(SimJob& job, SimJob::Ending outcome);
  void check_unknown_model() const;
  void finish(Finish how);

  SimThread& thread_;
  const Ask ask_;
  const TimePoint arrival_;
  const std::function<void(Finish)> ended_;
  std::optional<RequestPhase> phase_;
  std::deque<SimJob> jobs_;
  std::size_t left_ = 0;
  Finish verdict_ = Finish::kOk;
  bool list_failed_ = false, client_gone_ = false, cancelled_ = false, finished_ = false;
};

}  // namespace batchproxy::fault_sim
