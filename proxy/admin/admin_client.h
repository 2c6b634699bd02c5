// proxy/admin/admin_client.h - AdminClient: asks a running batchproxy on its admin address, with
// the key of the environment variable BATCHPROXY_API_KEY.
//
// Threading: any thread; a call blocks.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "configs/schema/host_port.h"

namespace batchproxy {

class AdminClient {
 public:
  // `named_by`: what says so, for messages; may be empty. `sends_key`: BATCHPROXY_API_KEY, where it
  // is set.
  explicit AdminClient(HostPort at, std::string named_by = {}, bool sends_key = true)
      : at_(std::move(at)), named_by_(std::move(named_by)), sends_key_(sends_key) {}

  struct Answer {
    bool is_good() const { return status / 100 == 2; }
    unsigned status = 0;  // 0: nobody has answered
    // Of a good answer what was asked for, else a sentence that says why there is none.
    std::string body;
  };
  // `method` is GET or POST.
  Answer ask(const std::string& method, const std::string& path,
             std::chrono::milliseconds patience = std::chrono::seconds(10)) const;

  std::string address() const { return to_string(at_); }

 private:
  HostPort at_;
  std::string named_by_;
  bool sends_key_;
};

}  // namespace batchproxy
