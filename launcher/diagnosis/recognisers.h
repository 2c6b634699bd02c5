// launcher/diagnosis/recognisers.h - how a line of a log tells why the engine failed.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "launcher/diagnosis/cause.h"
#include "launcher/diagnosis/figures.h"
#include "launcher/diagnosis/log_line.h"

namespace batchproxy {

struct Recognised {
  Cause cause = Cause::kCount;  // kCount: none
  Figures figures{};
};

// The cause of highest priority that the line tells. Warnings tell none, nor does code: both quote
// failures that did not happen. Of memory that ran out it is kOom; which stage it was in is not in
// the line.
Recognised recognise(const LogLine& line);

// What else a line can say of a death.
enum class Sign : std::uint8_t {
  kNone,
  kDeath,    // a process of the engine has ended, and the others follow
  kWrapper,  // "see above": a failure of another process, or an earlier one, told again
  kStall,    // the processes wait for one of them
};
Sign sign_in(const LogLine& line);

}  // namespace batchproxy
