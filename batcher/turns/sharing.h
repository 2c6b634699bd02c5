// batcher/turns/sharing.h - Sharing: what prompts that begin alike ask of the backends.
//
// A beginning, such as a passage that several questions are about, is computed once by each backend
// that is sent one of its prompts. The Balancer (decision/balancer.h) weighs that price by three
// figures: how many prompts with a beginning wait or are in flight, how many new beginnings each
// backend was sent of late, and whether prompts begin alike at all.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "batcher/base/backend_set.h"

namespace batchproxy {

class Sharing {
 public:
  // Some prompts wait from now on. `beginning` is the one that they share with earlier prompts; 0:
  // none is known.
  void on_submitted(std::uint64_t beginning, std::uint32_t prompts);
  // They wait again, after a failure: what they share says nothing new.
  void on_back(std::uint64_t beginning, std::uint32_t prompts) {
    if (beginning != 0) demand_[beginning] += prompts;
  }
  // While they waited, another was sent that begins like them for longer.
  void on_renamed(std::uint64_t from, std::uint64_t to, std::uint32_t prompts) {
    on_ended(from, prompts);
    on_back(to, prompts);
  }
  // They have been answered, or have left.
  void on_ended(std::uint64_t beginning, std::uint32_t prompts) {
    if (beginning != 0) take_off(beginning, prompts);
  }
  // How many prompts with this beginning wait or are in flight.
  std::uint32_t demand(std::uint64_t beginning) const;

  // Whether a good part of the prompts begin like earlier ones. Where none do, a backend's share of
  // new beginnings says nothing of the load that is to come.
  bool is_common() const { return common_ >= kCommon; }

  // A prompt was sent to a backend; `anew`: one that did not hold its beginning.
  void on_sent(BackendId id, bool anew);
  // How many new beginnings a backend was sent of late. Only to be compared with other backends'.
  double placed(BackendId id) const { return id < placed_.size() ? placed_[id] : 0; }
  // A backend is there (again), with an empty cache, beside `others`. It counts as one of them, or
  // it would be sent every new beginning until it had caught up.
  void on_emptied(BackendId id, BackendSet others);

 private:
  static constexpr double kCommon = 0.25;

  void take_off(std::uint64_t beginning, std::uint32_t prompts);

  boost::unordered_flat_map<std::uint64_t, std::uint32_t> demand_;
  double common_ = 0;           // share of the tickets of late
  std::vector<double> placed_;  // by backend; what is newer counts more
  double weight_ = 1;           // of the next
};

}  // namespace batchproxy
