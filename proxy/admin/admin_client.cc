// proxy/admin/admin_client.cc - see admin_client.h.
#include "proxy/admin/admin_client.h"

#include <cstdlib>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>

namespace batchproxy {

namespace {

namespace beast = boost::beast;
namespace http_ = boost::beast::http;
using Tcp = boost::asio::ip::tcp;

constexpr const char* kKeyVariable = "BATCHPROXY_API_KEY";

// Until `work` has ended, which its stream's time bounds. A blocking call would not be bounded.
template <class Begin>
void wait_for(boost::asio::io_context& io, Begin begin) {
  boost::system::error_code error;
  begin([&error](const boost::system::error_code& ended, const auto&...) { error = ended; });
  io.restart();
  io.run();
  if (error) throw boost::system::system_error(error);
}

http_::response<http_::string_body> call(const HostPort& at, const std::string& method,
                                         const std::string& path, bool sends_key,
                                         std::chrono::milliseconds patience) {
  boost::asio::io_context io;
  beast::tcp_stream stream(io);
  stream.expires_after(patience);
  const auto found = Tcp::resolver(io).resolve(at.host, std::to_string(at.port));
  wait_for(io, [&](auto done) { stream.async_connect(found, done); });
  http_::request<http_::string_body> request(http_::string_to_verb(method), path, 11);
  request.set(http_::field::host, to_string(at));
  if (const char* key = std::getenv(kKeyVariable); key != nullptr && sends_key) {
    request.set(http_::field::authorization, std::string("Bearer ") + key);
  }
  request.prepare_payload();
  wait_for(io, [&](auto done) { http_::async_write(stream, request, done); });
  beast::flat_buffer buffer;
  http_::response<http_::string_body> answer;
  wait_for(io, [&](auto done) { http_::async_read(stream, buffer, answer, done); });
  return answer;
}

}  // namespace

AdminClient::Answer AdminClient::ask(const std::string& method, const std::string& path,
                                     std::chrono::milliseconds patience) const {
  try {
    auto answer = call(at_, method, path, sends_key_, patience);
    if (answer.result() == http_::status::unauthorized) {
      answer.body() = address() + " asks for an API key: set " + kKeyVariable + "\n";
    }
    return {.status = answer.result_int(), .body = std::move(answer.body())};
  } catch (const boost::system::system_error& error) {
    if (error.code() == beast::error::timeout) {
      return {.body = fmt::format("{}{} has not answered within {:g} s: that batchproxy hangs, or "
                                  "nothing reaches it\n",
                                  address(), named_by_,
                                  std::chrono::duration<double>(patience).count())};
    }
    return {.body = "no batchproxy answers at " + address() + named_by_ + ": " +
                    error.code().message() + ". Name its admin address with --admin\n"};
  }
}

}  // namespace batchproxy
