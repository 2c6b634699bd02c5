// bench/trial/interrupt.cc - see interrupt.h.
#include "bench/trial/interrupt.h"

#include <csignal>

namespace batchproxy::bench {

Interrupt::Interrupt() : signals_(io_, SIGINT, SIGTERM) {
  signals_.async_wait([this](const boost::system::error_code& error, int) { come_ = !error; });
}

bool Interrupt::has_come() {
  if (!come_) io_.poll();
  return come_;
}

}  // namespace batchproxy::bench
