// proxy/listener.cc - see listener.h.
#include "proxy/listener.h"

#include <stdexcept>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include "proxy/session.h"

namespace batchproxy {

namespace {

constexpr int kBacklog = 4096;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);

Task<void> serve(IoThread& thread, Connection::Ptr connection) {
  Session session(thread, std::move(connection));
  co_await session.run();
}

void report(std::exception_ptr error);

void start_session(IoThread& thread, Connection::Socket socket) {
  auto connection = std::make_shared<Connection>(std::move(socket), thread.deadlines);
  asio::co_spawn(thread.io.get_executor(), serve(thread, std::move(connection)), &report);
}

void report(std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    spdlog::error("internal error in a session, which has been closed: {}", exception.what());
  }
}

}  // namespace

asio::ip::tcp::endpoint resolve(const std::string& host_port) {
  const std::size_t colon = host_port.rfind(':');
  if (colon == std::string::npos) throw std::runtime_error(host_port + " is not HOST:PORT");
  std::string host = host_port.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  asio::io_context io;
  asio::ip::tcp::resolver resolver(io);
  ErrorCode error;
  const auto found = resolver.resolve(host, host_port.substr(colon + 1), error);
  if (error || found.empty()) {
    throw std::runtime_error("cannot find the host of " + host_port + ": " + error.message());
  }
  // `localhost` is often ::1 first, where a server that binds 127.0.0.1 is not to be found.
  for (const auto& entry : found) {
    if (entry.endpoint().address().is_v4()) return entry.endpoint();
  }
  return found.begin()->endpoint();
}

Acceptor listen_on(asio::io_context& io, const std::string& host_port, const std::string& flag) {
  const auto endpoint = resolve(host_port);
  Acceptor acceptor(io.get_executor());
  try {
    acceptor.open(endpoint.protocol());
    ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor.set_option(asio::socket_base::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(kBacklog);
    acceptor.non_blocking(true);
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("cannot listen on " + host_port + ": " + error.code().message() +
                             ". Choose another address with " + flag +
                             " (port 0 picks a free one).");
  }
  return acceptor;
}

Acceptor duplicate(Acceptor& acceptor, asio::io_context& io) {
  const int fd = ::fcntl(acceptor.native_handle(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw std::runtime_error("cannot duplicate the listening socket");
  Acceptor copy(io.get_executor());
  copy.assign(acceptor.local_endpoint().protocol(), fd);
  copy.non_blocking(true);
  return copy;
}

Task<void> pause_accepting(asio::io_context& io) {
  asio::steady_timer pause(io, kAcceptPause);
  ErrorCode ignored;
  co_await pause.async_wait(asio::redirect_error(use_task, ignored));
}

Task<void> accept_clients(IoThread& thread, Acceptor& acceptor) {
  while (acceptor.is_open()) {
    Connection::Socket socket(thread.io.get_executor());
    ErrorCode error;
    co_await acceptor.async_accept(socket, asio::redirect_error(use_task, error));
    if (error == asio::error::operation_aborted || !acceptor.is_open()) break;
    if (error) {
      spdlog::warn("cannot accept a client: {}", error.message());
      co_await pause_accepting(thread.io);
      continue;
    }
    start_session(thread, std::move(socket));
  }
}

void accept_backlog(IoThread& thread, Acceptor& acceptor) {
  while (acceptor.is_open()) {
    Connection::Socket socket(thread.io.get_executor());
    ErrorCode error;
    acceptor.accept(socket, error);
    if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
    if (error) break;
    start_session(thread, std::move(socket));
  }
}

}  // namespace batchproxy
