// proxy/jobs/run/common_refusal.h - CommonRefusal: whether all questions of a run are refused for
// one reason, which none would escape: the model is not served, or the key may not ask.
//
// Pure. The first outcomes are held back while they are all one refusal. Enough of them end the
// run, and none counts as failed; an answer, or another refusal, lets them all through.
//
// Threading: confined to one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "proxy/jobs/ledger.h"

namespace batchproxy {

class CommonRefusal {
 public:
  static constexpr std::size_t kEnough = 20;

  // Nothing is held back from now on.
  bool is_ruled_out() const { return ruled_out_; }
  // Holds these back, too, and looks at them. Not once it is ruled out.
  void add(const std::vector<ItemOutcome>& outcomes);
  // What was held back, once.
  std::vector<ItemOutcome> take();

  // Why the run is of no use, and what to do, as a sentence; nothing while it may be of use.
  // `has_key`: the questions were asked with an API key.
  std::optional<std::string> sentence(bool has_key) const;

 private:
  std::vector<ItemOutcome> held_;
  bool ruled_out_ = false;
};

}  // namespace batchproxy
