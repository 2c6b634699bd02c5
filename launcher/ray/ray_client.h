// launcher/ray/ray_client.h - RayClient: asks Ray's Jobs REST API, and says what is wrong
// where the answer is not the one that was hoped for.
//
// Each request has a connection of its own, like a probe: they are few. The token is looked for
// anew each time, so that one that is renewed needs no restart. Ray's head may take ten seconds
// and more for an answer.
//
// Threading: confined to the control thread's io_context.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "backends/call/control_stream.h"
#include "backends/names/endpoint.h"
#include "backends/names/resolver.h"
#include "configs/schema/host_port.h"
#include "configs/schema/options.h"
#include "configs/sources/environment.h"
#include "launcher/base/result.h"
#include "launcher/ray/ray_jobs.h"

namespace batchproxy {

// Where Ray is, and who we are to it.
struct RayAddress {
  std::string url{};                           // as it was given
  Endpoint endpoint{};                         // but for its addresses and key
  HostPort host{};                             // where these are
  std::function<OrError<RayToken>()> token{};  // see find_ray_token()
};

// Of the options, which have been checked. The error is one sentence.
OrError<RayAddress> ray_address(const Options& options, const Environment& environment);

struct RayReply {
  unsigned status = 0;  // 0: none came
  std::string body{};
  std::optional<RayRefusal> refusal{};  // unless it is 2xx
};

class RayClient {
 public:
  // `patience`: for each request, from the connection to the last byte of its answer.
  RayClient(asio::io_context& io, RayAddress address, Duration patience = std::chrono::seconds(30));

  const std::string& url() const { return address_.url; }

  Task<RayReply> version();
  Task<RayReply> cluster();
  Task<RayReply> nodes();
  Task<RayReply> jobs();
  Task<RayReply> job(std::string id);
  Task<RayReply> submit(std::string submission);
  // SIGTERM, and after the job's own time SIGKILL. One that is pending ends when it would begin.
  Task<RayReply> stop(std::string id);
  // Of a job that is over.
  Task<RayReply> remove(std::string id);

 private:
  enum class Verb { kGet, kPost, kDelete };
  Task<RayReply> ask(Verb verb, std::string path, std::string body);
  Task<ControlReply> exchange(Verb verb, const Endpoint& at, std::string path, std::string body);

  asio::io_context& io_;
  const RayAddress address_;
  const Duration patience_;
  SystemResolver resolver_;
};

}  // namespace batchproxy
