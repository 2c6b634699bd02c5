// backends/call/http_client.h - a plain HTTP/1.1 client over one kept connection: what asks a proxy
// or an engine from outside, for the bench and for jobs. The data path has ConnectionPool.
//
// Threading: confined to its io_context's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "backends/net/task.h"

namespace batchproxy {

// "http://127.0.0.1:8000" in parts. Throws std::runtime_error for anything else.
struct Url {
  std::string host;
  std::string port;
};
Url parse_url(std::string_view url);

struct HttpReply {
  unsigned status = 0;        // 0: no answer at all
  std::string body{};         // or, with status 0, what went wrong
  std::string backend{};      // x-batchproxy-backend
  std::string retry_after{};  // as it was sent
  bool lost = false;          // with status 0: the request was on its way
};

class HttpClient {
 public:
  // `api_key`, if not empty, goes along as a bearer token.
  HttpClient(asio::io_context& io, Url url, std::string api_key = {});
  ~HttpClient();

  // One request; connects if there is no connection. `body` empty means GET.
  Task<HttpReply> request(std::string path, std::string body);

 private:
  struct Connection;
  asio::io_context& io_;
  const Url url_;
  const std::string api_key_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace batchproxy
