// launcher/agent/refusals.h - Refusals: which refusals of agents people are told of: each reason
// once a minute, since what is wrong with one agent of a run is wrong with all of them.
//
// Threading: plain values; the time is given.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "batcher/base/time.h"

namespace batchproxy {

class Refusals {
 public:
  // An agent was refused: a sentence, or nothing. `who`: "from ADDRESS (node n1, engine-0)".
  std::string tell(const std::string& who, const std::string& why, TimePoint now);

 private:
  static constexpr Duration kPause = std::chrono::minutes(1);
  // Strangers choose the words of theirs.
  static constexpr std::size_t kMostReasons = 64;

  struct Reason {
    TimePoint told{};
    std::size_t untold = 0;  // agents that were refused since
  };
  std::map<std::string, Reason> reasons_;
};

}  // namespace batchproxy
