// proxy/thread/data_path_settings.h - DataPathSettings: the options that the data path goes by.
//
// Threading: values, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/json/body_scan.h"
#include "batcher/base/time.h"
#include "proxy/limits/body_pace.h"
#include "proxy/wire/cors.h"
#include "proxy/wire/passed_fields.h"

namespace batchproxy {

// What a request's body is looked at for, besides its model.
struct BodyPolicy {
  bool prefixes = false;         // tell the lane how its prompt begins
  bool merging = false;          // and whether it may share a call
  std::uint32_t list_piece = 0;  // a client's list goes out in pieces of so many prompts; 0: whole
  std::size_t max_list = 0;      // most prompts of a list that goes out in pieces
  BodyLimits limits;
};

// The options that the data path looks at, resolved once. They are one type since a reload replaces
// them all at once.
struct DataPathSettings {
  BodyPolicy bodies;
  PassedFields passed;
  Cors cors;
  // Requests whose number is no larger begin a trace here: a share of them. 0: none.
  std::uint64_t traced_up_to = 0;
  bool job_by_key = false;                                // each API key's requests are a job
  std::uint64_t max_body = 64u << 20;                     // bytes
  std::uint64_t max_answer = 256u << 20;                  // bytes
  Duration request_timeout = std::chrono::seconds(600);   // of clients that tell no time-out
  Duration max_request_timeout = std::chrono::hours(24);  // of those that do
  bool holds_for_room = true;  // a request waits here while its backend is full
  Duration attempt_timeout{};  // for one answer; zero: until the request's own deadline
  Duration connect_timeout = std::chrono::seconds(2);
  Duration idle_timeout = std::chrono::seconds(120);
  Duration head_timeout = std::chrono::seconds(10);  // a whole head, from its first byte
  PaceLimits body_pace;
  std::uint64_t max_buffered = 1u << 30;            // bytes of request bodies, all threads together
  std::uint64_t max_clients = 16384;                // all threads together
  std::uint64_t descriptors = 1024;                 // that the process may have open
  Duration write_stall = std::chrono::seconds(30);  // a client that takes no byte of its answer
};

}  // namespace batchproxy
