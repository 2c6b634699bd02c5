// proxy/jobs/run/job_proxy.h - JobProxy: the proxy that a job asks, one that runs already or one of
// its own, which is started again when it dies.
//
// Threading: confined to its io_context's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/call/http_client.h"
#include "backends/child/child_proxy.h"
#include "backends/net/task.h"
#include "batcher/base/time.h"

namespace batchproxy {

struct ProxyChoice {
  std::string url{};  // of a running one; "": one of our own
  std::string api_key{};
  // Of our own one.
  std::string program{};
  std::vector<std::string> flags{};
};

class JobProxy {
 public:
  // `log`: of our own one. `choice` outlives it.
  JobProxy(asio::io_context& io, const ProxyChoice& choice, std::string log);

  // Where it listens, once it does. Each throws std::runtime_error when it never will.
  Task<Url> find();
  // The model to ask, once it serves any: `wished` if that is among them, else the first.
  Task<std::string> find_model(std::string wished, Duration patience);

  // To be called each second. Our own one is started again if it has died; its new place, once it
  // listens there.
  std::optional<Url> look_after();
  // For people.
  std::string name() const { return choice_.url.empty() ? "the proxy" : choice_.url; }
  // It is worth another start.
  void has_answered() { restarts_ = 0; }

 private:
  void start();
  Task<void> sleep(Duration how_long);

  asio::io_context& io_;
  const ProxyChoice& choice_;
  const std::string log_;
  std::unique_ptr<ChildProxy> own_;
  Url url_;
  int restarts_ = 0;
  bool starting_again_ = false;
};

}  // namespace batchproxy
