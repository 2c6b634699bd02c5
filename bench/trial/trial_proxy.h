// bench/trial/trial_proxy.h - TrialProxy: a batchproxy that starts the engines of a topology, for
// as long as that is measured. It starts, pins, watches and stops them as it always does.
//
// Threading: runs the client's event loop on the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backends/child/child_proxy.h"
#include "bench/load/client.h"
#include "bench/load/subject.h"

namespace batchproxy::bench {

// What /status says of a start.
struct StartState {
  std::size_t ready = 0;               // engines
  std::string problem{};               // of one that will not come up; empty: there is none such
  std::string doing{};                 // "engine-2 loads weights"; for people
  std::vector<std::string> repairs{};  // "engine-0: max_model_len -> 9920: …"
};
StartState read_start(const std::string& status_json);

// The sentence in a log's last lines that says why a program has ended.
std::string reason_in(const std::string& last_words);

// How a start is waited for.
struct StartWatch {
  std::size_t engines = 1;
  std::string api_key{};
  std::function<bool()> interrupted{};
  std::function<void(const std::string&)> told{};  // what it waits for, each time that changes
};

class TrialProxy {
 public:
  enum class Outcome : std::uint8_t { kServing, kNotStarted, kCutShort };

  // `folder` gets its log, batchproxy.log. Throws std::runtime_error when it cannot be started.
  TrialProxy(const std::string& program, const std::string& config, const std::string& folder);

  // Until all engines are ready, one has failed for good, or it is interrupted.
  Outcome wait(LoadClient& client, const StartWatch& watch);

  // After kServing: what is asked.
  const std::string& url() const { return url_; }
  const std::string& admin() const { return admin_; }
  // After kNotStarted: why.
  const std::string& problem() const { return problem_; }
  const std::vector<std::string>& repairs() const { return repairs_; }

 private:
  struct Servers {
    BackendId proxy;
    BackendId admin;
  };
  Task<void> wait_for_end(LoadClient& client, const StartWatch& watch, Outcome& outcome);
  Task<std::optional<Outcome>> look(LoadClient& client, const StartWatch& watch);
  void find_servers(LoadClient& client, const std::string& api_key);
  Outcome fail(const std::string& problem);

  const std::string log_;
  ChildProxy child_;
  std::optional<Servers> servers_;  // once it listens
  std::string url_, admin_;
  std::string doing_;
  std::string problem_;
  std::vector<std::string> repairs_;
};

// What the engines of a running proxy say of themselves.
struct EngineSizes {
  std::optional<std::int64_t> context{};    // tokens; the least of the engines'
  std::optional<std::int64_t> kv_tokens{};  // likewise
};
EngineSizes sizes_of(LoadClient& client, const Subject& subject);

// From an engine's /v1/models.
std::optional<std::int64_t> context_in(const std::string& models_json);

}  // namespace batchproxy::bench
