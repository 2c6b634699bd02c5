// batcher/fleet/backend.h - Backend: one server as the scheduler sees it. Whether it takes requests
// now, how many it may have in flight, and what was learnt of it.
//
// Fleet keeps these up to date; others read them. The numbers are prompts unless they say
// otherwise.
//
// Threading: confined to the lane.
#pragma once

#include <algorithm>
#include <cstdint>

#include "batcher/engine/answer_times.h"
#include "batcher/engine/progress.h"
#include "batcher/engine/room.h"
#include "batcher/fleet/breaker.h"
#include "batcher/fleet/pause.h"
#include "batcher/fleet/slow_start.h"

namespace batchproxy {

// What a server can do, as far as it is known.
struct BackendTraits {
  std::uint32_t max_num_seqs = 256;
  std::uint64_t kv_tokens = 0;  // its cache holds; 0: unknown
  bool exact_usage = false;     // its list answers tell what each prompt used
  bool chat_batches = false;    // it takes lists of conversations

  friend bool operator==(const BackendTraits&, const BackendTraits&) = default;
};

struct Backend {
  explicit Backend(const BackendTraits& of, std::uint32_t batch_size)
      : traits(of), room(of.max_num_seqs, batch_size) {}

  BackendTraits traits;

  // What its answers, its failures and its metrics have taught.
  Room room;
  Breaker breaker;
  Progress progress;
  AnswerTimes times;
  SlowStart slow_start;
  Pause pause;

  // Whether it takes requests.
  bool up = false;           // its server is there
  bool stuck = false;        // it stands still
  bool last_resort = false;  // no other is up for some tickets that wait
  bool reserved = false;     // for a suspect, which runs alone
  bool ready = false;        // to be given requests: what all these amount to

  // What it has.
  std::uint32_t inflight = 0;
  std::uint32_t background = 0;  // of these, of batches
  std::uint32_t roomless = 0;  // in flight too, of tickets that take no room
  std::uint32_t calls = 0;     // outstanding calls that can carry several tickets
  // Beyond the room, so many may be in flight: what it answers in the time that clients give.
  std::uint32_t in_time = SlowStart::kUnlimited;

  // Conditions, as Fleet::any() and Balancer::least_loaded() take them.
  bool has_server() const { return up; }
  // It is there and does its work; one that has asked for a pause does.
  bool serves() const { return up && breaker.is_closed(); }
  bool is_open() const { return ready; }
  bool is_ready() const { return ready && inflight < slow_start.most(); }
  bool has_room() const { return ready && inflight < room_now(); }
  bool below_max_inflight() const { return ready && inflight < max_inflight(); }

  // Whether it would be given requests at `now`, were it not reserved.
  bool takes(TimePoint now) const {
    return up && breaker.admits(now, last_resort) && now >= pause.until();
  }
  std::uint32_t room_now() const { return std::min(room.prompts(), slow_start.most()); }
  // What nearly all of its answers take, or those of all backends while its own are not known.
  Duration usual(const AnswerTimes& all) const {
    return times.usual() > Duration::zero() ? times.usual() : all.usual();
  }
  // With less time than that, a request is not worth sending there.
  Duration least(const AnswerTimes& all) const {
    return times.least() > Duration::zero() ? times.least() : all.least();
  }
  // How many it may have at most, with those that go beyond the room.
  std::uint32_t max_inflight() const {
    return std::min(
        {2 * traits.max_num_seqs, slow_start.most(), room.bound(), std::max(in_time, room_now())});
  }
};

}  // namespace batchproxy
