// proxy/wire/client_request.h - ClientRequest: a request that has been received whole.
//
// Threading: made by its session on its I/O thread; read-only while it is being answered, when
// other threads may read it too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "batcher/base/time.h"
#include "proxy/wire/cors.h"
#include "proxy/wire/router.h"
#include "proxy/wire/trace_context.h"

namespace batchproxy {

// An id that no other request of this process has: as numbers, since most are written once or
// never. Engines put it into their answers, and who compares lengths (`ab`) takes a longer one for
// a failure: so its width is fixed.
class RequestId {
 public:
  static constexpr std::size_t kWidth = 8;  // hex digits of the number, for four billion requests

  RequestId() = default;
  // `prefix`, the thread's own, must outlive it.
  RequestId(const std::string& prefix, std::uint64_t number) : prefix_(&prefix), number_(number) {}

  void append_to(std::string& out) const;
  std::string text() const;
  std::size_t most() const { return prefix_->size() + kMost; }  // bytes of its text
  std::uint64_t hash() const;  // equal for equal ids
  bool operator==(const RequestId&) const = default;

 private:
  static constexpr std::size_t kMost = 16;  // digits of any number

  const std::string* prefix_ = nullptr;
  std::uint64_t number_ = 0;
};

// Where clients of OpenAI's and of Anthropic's kind write their key: `Bearer KEY`, and KEY.
inline constexpr std::string_view kAuthorization = "authorization";
inline constexpr std::string_view kApiKey = "x-api-key";
// Whose job a request is of, which is then recorded (proxy/jobs/recorder.h).
inline constexpr std::string_view kJobField = "x-batchproxy-job";

// Shared, as its clients come with the same one again and again.
using JobName = std::shared_ptr<const std::string>;

// All that the answer's side ever sees of a client's request: what it asks, whose it is, and how
// its answer is to be framed. Views stay valid while it is being answered.
struct ClientRequest {
  const Route* route = nullptr;
  std::string_view target;
  std::string_view key_field = kAuthorization;  // where the client's key stands
  std::string_view authorization;  // to be passed on: without API keys of ours, the client's
  std::string_view body;
  bool scannable = true;     // the body is plain JSON, not compressed
  std::string fields;        // what is passed on of its header, as ready lines
  std::string key;           // name of its API key; empty where none is asked for
  std::string given_id;      // the client's own, if it gave one
  JobName job;               // null: it is of none
  RequestId id;              // for the ids that backends see
  std::uint64_t client = 0;  // equal for requests of one client: clients take turns
  TimePoint arrival{};
  Duration timeout{};  // how long its client, or we, give it
  int minor_version = 1;
  bool keep_alive = true;
  bool background = false;  // of a batch: it lets all others go first
  bool uncut = false;       // its list of prompts goes to one engine, whole
  bool head_only = false;   // HEAD: the answer's body stays here
  CorsFields cors;          // of its answer, if a web page asks that may
  // Of its `traceparent`, which is not among `fields`: it tells requests apart that ask the same.
  // Null: it is part of no trace.
  std::shared_ptr<const TraceContext> trace;

  // Appends the id that the client's answer is marked with.
  void append_shown_id(std::string& out) const;
  std::string_view cors_lines() const { return cors ? std::string_view(*cors) : ""; }
  // Equal for requests that ask the same.
  std::uint64_t content_key() const;
};

// The value of the first field `name` in `lines`, as in ClientRequest::fields; empty if there is
// none.
std::string_view value_of(std::string_view lines, std::string_view name);
// `lines`, as in ClientRequest::fields, without those of field `name`.
std::string without_field(std::string_view lines, std::string_view name);

}  // namespace batchproxy
