// backends/call/http_client.h - a plain HTTP/1.1 client over one kept connection: what asks a proxy
// or an engine from outside, for the bench and for jobs. The data path has ConnectionPool.
//
// Threading: confined to its io_context's thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/net/task.h"

namespace batchproxy {

// "http://127.0.0.1:8000" in parts. Throws std::runtime_error for anything else.
struct Url {
  std::string host;
  std::string port;
};
Url parse_url(std::string_view url);

// Fields of a request's head, such as {"authorization", "Bearer …"}.
using HttpFields = std::vector<std::pair<std::string, std::string>>;
HttpFields bearer(std::string_view api_key);  // none for ""

struct HttpReply {
  unsigned status = 0;        // 0: no answer at all
  std::string body{};         // or, with status 0, what went wrong
  std::string backend{};      // x-batchproxy-backend
  std::string batch{};        // x-batchproxy-batch
  std::string retry_after{};  // as it was sent
  bool lost = false;          // with status 0: the request was on its way
};

class HttpClient {
 public:
  // As long as the openai package waits.
  static constexpr std::chrono::seconds kPatience{600};

  // `fields` go along with each request.
  // `patience`: for connecting, and then for the answer.
  HttpClient(asio::io_context& io, Url url, HttpFields fields = {},
             std::chrono::seconds patience = kPatience);
  ~HttpClient();

  // One request; connects if there is no connection. `body` empty means GET.
  Task<HttpReply> request(std::string path, std::string body);
  // The request under way ends without an answer, and so does every later one.
  void cancel();

 private:
  struct Connection;
  asio::io_context& io_;
  const Url url_;
  const HttpFields fields_;
  const std::chrono::seconds patience_;
  bool cancelled_ = false;
  std::unique_ptr<Connection> connection_;
};

}  // namespace batchproxy
