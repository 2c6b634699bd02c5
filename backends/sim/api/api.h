// backends/sim/api/api.h - vLLM's HTTP interface without HTTP: from one request to a reply, to a
// call on the engine, or to a fault.
//
// Sans-io; the driver (server.cc) reads, waits and writes.
//
// Threading: confined to the server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backends/sim/api/adapters.h"
#include "backends/sim/api/api_call.h"
#include "backends/sim/api/api_options.h"
#include "backends/sim/api/api_request.h"
#include "backends/sim/api/pooling_request.h"

namespace batchproxy::sim {

struct ApiRequest {
  std::string method;
  std::string target;
  std::string content_type;
  std::string authorization;
  std::string request_id;  // of the header X-Request-Id
  std::string host{};
  std::string body{};
  std::int64_t unix_time = 0;
};

struct ApiReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::string_view allow = {};  // of a 405: the method that would do
  std::string location{};       // of a 307
};

// What POST /sim/fault and the markers @@crash@@ and @@die@@ ask for.
enum class Fault : std::uint8_t {
  kNone,
  kHang,   // the engine stops: calls are accepted and never answered, /health still says 200
  kCrash,  // the process ends at once
  kDie,    // as vLLM when its engine has died: all are told by a 500, then the process ends
};

using ApiOutcome = std::variant<ApiReply, std::unique_ptr<ApiCall>, Fault>;

class Api {
 public:
  // `server` is only looked at, for /metrics; it must outlive this.
  Api(ApiOptions options, const ServerModel& server);

  // Never throws: what goes wrong becomes a reply.
  ApiOutcome handle(const ApiRequest& request);

  // A call has been answered. vLLM does not count those that its clients leave.
  void on_answered(const ApiCall& call);
  // The engine has died: /health says so from now on.
  void set_dead() { dead_ = true; }

  // "/v1/completions, Methods: POST" and so on, for the start-up log.
  static std::vector<std::string> routes(const ApiOptions& options);

 private:
  using Handler = ApiOutcome (Api::*)(const ApiRequest&);
  struct Route {
    std::string_view method;
    std::string_view path;
    Handler handler;
    bool (*is_there)(const ApiOptions& options);
    bool on_openapi = true;  // /openapi.json tells of it
  };
  static const std::vector<Route>& route_table();

  ApiOutcome dispatch(const ApiRequest& request);
  bool is_path(std::string_view path) const;
  bool may_call(std::string_view path, const ApiRequest& request) const;
  ApiOutcome generate(Endpoint endpoint, const ApiRequest& request);
  ApiOutcome pool(PoolingTask task, const ApiRequest& request);

  ApiOutcome completions(const ApiRequest& request);
  ApiOutcome chat(const ApiRequest& request);
  ApiOutcome chat_batch(const ApiRequest& request);
  ApiOutcome embeddings(const ApiRequest& request);
  ApiOutcome pooling(const ApiRequest& request);
  ApiOutcome classify(const ApiRequest& request);
  ApiOutcome score(const ApiRequest& request);
  ApiOutcome rerank(const ApiRequest& request);
  ApiOutcome tokenize_text(const ApiRequest& request);
  ApiOutcome detokenize_ids(const ApiRequest& request);
  ApiOutcome tokenizer_info(const ApiRequest& request);
  ApiOutcome load_adapter(const ApiRequest& request);
  ApiOutcome unload_adapter(const ApiRequest& request);
  ApiOutcome models(const ApiRequest& request);
  ApiOutcome health(const ApiRequest& request);
  ApiOutcome ping(const ApiRequest& request);
  ApiOutcome load(const ApiRequest& request);
  ApiOutcome scale_out(const ApiRequest& request);
  ApiOutcome version(const ApiRequest& request);
  ApiOutcome metrics(const ApiRequest& request);
  ApiOutcome openapi(const ApiRequest& request);
  ApiOutcome fault(const ApiRequest& request);

  std::string served_model(const boost::json::object& body) const;
  CallIdentity identity(std::string_view prefix, std::string model, const ApiRequest& request);

  const ApiOptions options_;
  const ServerModel& server_;
  Adapters adapters_;
  RequestTally tally_;
  bool dead_ = false;
  std::uint64_t calls_ = 0;
};

}  // namespace batchproxy::sim
