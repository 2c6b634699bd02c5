// batcher/base/flush_reason.cc - see flush_reason.h.
#include "batcher/base/flush_reason.h"

namespace batchproxy {

namespace {

struct Row {
  FlushReason id{};
  std::string_view word{};
};
constexpr EnumTable<Row> kReasons({
    {FlushReason::kFull, "full"},
    {FlushReason::kRoom, "room"},
    {FlushReason::kTimeout, "timeout"},
    {FlushReason::kDeadline, "deadline"},
    {FlushReason::kDrain, "drain"},
});

}  // namespace

std::string_view to_string(FlushReason reason) {
  return kReasons[reason].word;
}

}  // namespace batchproxy
