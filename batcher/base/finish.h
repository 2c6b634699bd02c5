// batcher/base/finish.h - Finish: how a request has ended, as it is counted.
//
// An error of ours ends as its row in batcher/base/error.cc says, a backend's answer as its status
// says.
//
// Threading: values, any thread.
#pragma once

#include <string_view>

#include "batcher/base/enum_table.h"

namespace batchproxy {

enum class Finish { kOk, kClientError, kBackendError, kShed, kTimeout, kClientGone, kCount };

struct FinishRow {
  Finish id{};
  std::string_view word{};  // in metrics
};

inline constexpr EnumTable<FinishRow> kFinishes({{Finish::kOk, "ok"},
                                                 {Finish::kClientError, "client_error"},
                                                 {Finish::kBackendError, "backend_error"},
                                                 {Finish::kShed, "shed"},
                                                 {Finish::kTimeout, "timeout"},
                                                 {Finish::kClientGone, "client_gone"}});

constexpr std::string_view to_string(Finish finish) {
  return kFinishes[finish].word;
}

// How a backend's own answer counts.
constexpr Finish finish_of_status(unsigned status) {
  if (status < 400) return Finish::kOk;
  return status < 500 ? Finish::kClientError : Finish::kBackendError;
}

}  // namespace batchproxy
