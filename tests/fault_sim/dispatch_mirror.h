// tests/fault_sim/dispatch_mirror.h - DispatchMirror: what Dispatch (proxy/request/dispatch.cc)
// does with a request: one errand, or one for each piece of a list, and one end.
//
// Threading: test code, one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/fault_sim/errand_mirror.h"

namespace batchproxy::fault_sim {

// What a client asks for, and how it behaves.
struct Ask {
  static constexpr Duration kLong = std::chrono::seconds(600);  // the patience of most clients

  std::uint64_t number = 0;
  Marker marker = Marker::kInnocent;
  std::string model;
  Duration timeout = kLong;
  std::vector<std::uint32_t> pieces;  // prompts of each errand
  bool streaming = false;
  std::uint64_t client = 0;
  std::optional<std::uint32_t> passage;
};

class DispatchMirror {
 public:
  DispatchMirror(ThreadMirror& thread, Ask ask, std::function<void(Finish)> ended);

  void serve();
  void on_client_gone();
  void cut_short() { cancel_errands(); }

  bool is_finished() const { return finished_; }
  const Ask& ask() const { return ask_; }

 private:
  void cancel_errands();
  void on_done(ErrandMirror& errand, Errand::Ending outcome);
  void check_unknown_model() const;
  void finish(Finish how);

  ThreadMirror& thread_;
  const Ask ask_;
  const TimePoint arrival_;
  const std::function<void(Finish)> ended_;
  std::optional<RequestPhase> phase_;
  std::deque<ErrandMirror> errands_;
  std::size_t left_ = 0;
  Finish verdict_ = Finish::kOk;
  bool list_failed_ = false, client_gone_ = false, cancelled_ = false, finished_ = false;
};

}  // namespace batchproxy::fault_sim
