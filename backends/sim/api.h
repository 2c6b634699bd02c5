// backends/sim/api.h - vLLM's HTTP interface without HTTP: from one request to a reply, to a call
// on the engine, or to a fault.
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

#include "backends/sim/answers.h"
#include "backends/sim/api_render.h"
#include "backends/sim/server_model.h"

namespace batchproxy {

struct ApiOptions {
  std::string model;
  std::vector<std::string> served_names;  // at least one
  std::vector<std::string> api_keys;      // empty: everybody may call
  int max_model_len = 4096;
  double gpu_memory_utilization = 0.9;
  AnswerMode answer_mode = AnswerMode::kLetters;
};

struct ApiRequest {
  std::string method;
  std::string target;
  std::string content_type;
  std::string authorization;
  std::string request_id;  // of the header X-Request-Id
  std::string body;
  std::int64_t unix_time = 0;
};

struct ApiReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

// What POST /sim/fault and the marker @@crash@@ ask for.
enum class Fault : std::uint8_t {
  kNone,
  kHang,   // the engine stops: calls are accepted and never answered, /health still says 200
  kCrash,  // the process ends at once
};

using ApiOutcome = std::variant<ApiReply, std::unique_ptr<GenerationCall>, Fault>;

// Requests that ended, by reason.
struct RequestTally {
  std::uint64_t stop = 0;
  std::uint64_t length = 0;
  std::uint64_t abort = 0;
};

class Api {
 public:
  // `server` is only looked at, for /metrics; it must outlive this.
  Api(ApiOptions options, const ServerModel& server);

  // Never throws: what goes wrong becomes a reply.
  ApiOutcome handle(const ApiRequest& request);

  // A call has been answered, or its client has left before.
  void on_answered(const GenerationCall& call);
  void on_aborted(const GenerationCall& call);

  // "POST /v1/completions" and so on, for the start-up log.
  static std::vector<std::string> routes();

 private:
  using Handler = ApiOutcome (Api::*)(const ApiRequest&);
  struct Route {
    std::string_view method;
    std::string_view path;
    Handler handler;
  };
  static const std::vector<Route>& route_table();

  ApiOutcome dispatch(const ApiRequest& request);
  bool may_call(std::string_view path, const ApiRequest& request) const;
  ApiOutcome generate(Endpoint endpoint, const ApiRequest& request);

  ApiOutcome completions(const ApiRequest& request);
  ApiOutcome chat(const ApiRequest& request);
  ApiOutcome chat_batch(const ApiRequest& request);
  ApiOutcome tokenize_text(const ApiRequest& request);
  ApiOutcome detokenize_ids(const ApiRequest& request);
  ApiOutcome tokenizer_info(const ApiRequest& request);
  ApiOutcome models(const ApiRequest& request);
  ApiOutcome health(const ApiRequest& request);
  ApiOutcome version(const ApiRequest& request);
  ApiOutcome metrics(const ApiRequest& request);
  ApiOutcome openapi(const ApiRequest& request);
  ApiOutcome fault(const ApiRequest& request);

  std::string served_model(const boost::json::object& body) const;
  std::string call_id(std::string_view prefix, const ApiRequest& request);

  const ApiOptions options_;
  const ServerModel& server_;
  RequestTally tally_;
  std::uint64_t calls_ = 0;
};

}  // namespace batchproxy
