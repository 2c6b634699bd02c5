// bench/load/http_client.h - a plain HTTP/1.1 client over one kept connection. The only file of
// bench/ that knows Beast.
//
// Threading: confined to its io_context's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "backends/net/task.h"

namespace batchproxy::bench {

// "http://127.0.0.1:8000" in parts. Throws std::runtime_error for anything else.
struct Url {
  std::string host;
  std::string port;
};
Url parse_url(std::string_view url);

struct Reply {
  unsigned status = 0;  // 0: no answer at all
  std::string body;     // or, with status 0, what went wrong
  std::string backend;  // x-batchproxy-backend
};

class HttpClient {
 public:
  HttpClient(asio::io_context& io, Url url);
  ~HttpClient();

  // One request; connects if there is no connection. `body` empty means GET.
  Task<Reply> request(std::string path, std::string body);

 private:
  struct Connection;
  asio::io_context& io_;
  const Url url_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace batchproxy::bench
