// batcher/base/flush_reason.cc - see flush_reason.h.
#include "batcher/base/flush_reason.h"

namespace batchproxy {

std::string_view to_string(FlushReason reason) {
  switch (reason) {
    case FlushReason::kFull:
      return "full";
    case FlushReason::kRoom:
      return "room";
    case FlushReason::kTimeout:
      return "timeout";
    case FlushReason::kDeadline:
      return "deadline";
    case FlushReason::kDrain:
      return "drain";
  }
  return "unknown";
}

}  // namespace batchproxy
