// proxy/edge/listener.cc - see listener.h.
#include "proxy/edge/listener.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "backends/names/resolver.h"
#include "backends/net/port_holder.h"
#include "configs/schema/host_port.h"
#include "proxy/edge/session.h"
#include "proxy/limits/accept_backoff.h"
#include "proxy/wire/reply.h"

namespace batchproxy {

namespace {

constexpr int kBacklog = 4096;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kCapPause = std::chrono::milliseconds(50);  // while no more clients may come
constexpr Duration kPatience = std::chrono::seconds(2);  // with a port that nobody alive holds
constexpr Duration kLookAgain = std::chrono::milliseconds(20);
constexpr std::size_t kMostDeclined = 64;
constexpr Duration kLinger = std::chrono::seconds(1);
constexpr Duration kHandshake = std::chrono::milliseconds(50);  // its last part, in a data centre

Task<void> sleep(asio::io_context& io, Duration time) {
  asio::steady_timer timer(io, time);
  ErrorCode ignored;
  co_await timer.async_wait(asio::redirect_error(use_task, ignored));
}

// Frees descriptors of those who rest. False: nobody does.
bool make_room(IoThread& thread) {
  const std::size_t backends = thread.net.upstreams.close_idle();
  const bool client = thread.clients.idle.close_oldest(std::chrono::steady_clock::now());
  return client || backends > 0;
}

// Tells a client no and lets it go.
Task<void> turn_away(IoThread& thread, Connection::Ptr connection) {
  const Error error = out_of_descriptors();
  thread.metrics.count_error(error.code);
  const std::string id = thread.ids.next().text();
  const ReplyContext context{id, 1, false};
  const std::string answer = compose_error(error, context);
  co_await connection->write(answer, kLinger);
  connection->close_lingering(kLinger);
}

// Of "HOST:PORT", the first address.
asio::ip::tcp::endpoint resolve(const std::string& host_port) {
  const auto name = parse_host_port(host_port);
  if (!name) throw std::runtime_error(host_port + " is not HOST:PORT");
  const LookUp answer = look_up(*name);
  const Addresses found = in_order(answer.found);
  if (found.empty()) {
    throw std::runtime_error("cannot find the host of " + host_port + ": " +
                             answer.error.message());
  }
  return found.front();
}

ErrorCode bind_and_listen(Acceptor& acceptor, const asio::ip::tcp::endpoint& endpoint) {
  try {
    acceptor.open(endpoint.protocol());
    ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor.set_option(asio::socket_base::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(kBacklog);
    acceptor.non_blocking(true);
  } catch (const boost::system::system_error& error) {
    return error.code();
  }
  return {};
}

// Why an address is not to be had, and what helps.
std::string reason(const ErrorCode& error, const std::string& holder, const std::string& flag) {
  if (error == boost::system::errc::too_many_files_open) {
    return error.message() + ". Raise the limit: ulimit -n";
  }
  return error.message() + (holder.empty() ? "" : " by " + holder) +
         ". Choose another address with " + flag + " (port 0 picks a free one).";
}

void report(std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    spdlog::error("internal error in a session, which has been closed: {}", exception.what());
  }
}

// The coroutine's function owns the session: one that did would cost each idle client a frame.
void start_session(IoThread& thread, Connection::Ptr connection) {
  auto run = [session = std::make_unique<Session>(thread, std::move(connection))] {
    return session->run();
  };
  asio::co_spawn(thread.net.io.get_executor(), std::move(run), &report);
}

// A client, or null, and `error` says why. Not through Asio, which would watch its socket, too.
Connection::Ptr accept(IoThread& thread, Acceptor& acceptor, ErrorCode& error) {
  auto connection = std::make_shared<Connection>(thread.net.poller, thread.net.deadlines);
  const int socket =
      ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  error = socket >= 0
              ? connection->start(socket)
              : ErrorCode(errno == EPROTO ? ECONNABORTED : errno, boost::system::system_category());
  return error ? nullptr : connection;
}

// From now on the kernel drops the first packet (SYN) of every connection, while what follows in
// those that have begun passes. Its clients send that again, after a second. Where there are no
// socket filters, who connects in the very moment of close() is reset.
void drop_first_packets(Acceptor& acceptor) {
  constexpr std::uint32_t kFlagsAt = 13, kSyn = 0x02, kAck = 0x10;  // of the TCP header
  std::array<sock_filter, 5> program = {{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlagsAt),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kSyn | kAck),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSyn, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),  // drop it
      BPF_STMT(BPF_RET | BPF_K, 0xffffffffu),  // let all of it pass
  }};
  const sock_fprog filter{program.size(), program.data()};
  ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

bool has_backlog(Acceptor& acceptor) {
  pollfd waiting{acceptor.native_handle(), POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 1;
}

}  // namespace

Acceptor listen_on(asio::io_context& io, const std::string& host_port, const std::string& flag,
                   const MayHave& may_have) {
  const auto endpoint = resolve(host_port);
  std::vector<Acceptor> declined;  // kept for a while: their ports are not offered again
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    Acceptor acceptor(io.get_executor());
    const ErrorCode error = bind_and_listen(acceptor, endpoint);
    if (!error && (endpoint.port() != 0 || may_have(acceptor.local_endpoint().port()) ||
                   declined.size() == kMostDeclined)) {
      return acceptor;
    }
    if (!error) {
      declined.push_back(std::move(acceptor));
      continue;
    }
    // A process that was killed holds its ports for a moment after its death.
    const bool taken = error == asio::error::address_in_use;
    const std::string holder = taken ? port_holder(endpoint.port()) : std::string();
    if (!taken || !holder.empty() || std::chrono::steady_clock::now() >= give_up) {
      throw std::runtime_error("cannot listen on " + host_port + ": " +
                               reason(error, holder, flag));
    }
    std::this_thread::sleep_for(kLookAgain);
  }
}

Acceptor duplicate(Acceptor& acceptor, asio::io_context& io) {
  const int fd = ::fcntl(acceptor.native_handle(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    throw boost::system::system_error(ErrorCode(errno, boost::system::system_category()),
                                      "cannot duplicate the listening socket");
  }
  Acceptor copy(io.get_executor());
  copy.assign(acceptor.local_endpoint().protocol(), fd);
  copy.non_blocking(true);
  return copy;
}

Task<void> pause_accepting(asio::io_context& io) {
  co_await sleep(io, kAcceptPause);
}

Task<void> accept_clients(IoThread& thread, Acceptor& acceptor, bool plain) {
  AcceptBackoff trouble;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto count = [&](int number) {
    const AcceptError why = number == EMFILE   ? AcceptError::kEmfile
                            : number == ENFILE ? AcceptError::kEnfile
                                               : AcceptError::kOther;
    thread.metrics.accept_errors[why].add();
  };
  while (acceptor.is_open()) {
    // Waits first and takes then: who may not come in stays in the backlog.
    ErrorCode error;
    co_await acceptor.async_wait(Acceptor::wait_read, asio::redirect_error(use_task, error));
    if (error == asio::error::operation_aborted || !acceptor.is_open()) break;
    if (!thread.clients.cap.take()) {
      const bool made_room = thread.clients.idle.close_oldest_of_all(now());
      // Not at all long when there is room: the one that was closed has to end first.
      co_await sleep(thread.net.io, made_room ? Duration::zero() : kCapPause);
      continue;
    }
    Connection::Ptr client = error ? nullptr : accept(thread, acceptor, error);
    if (error) thread.clients.cap.give();
    if (client && !plain && thread.published.tls) client->secure(*thread.published.tls);
    // Another thread was faster, or the client has left again.
    if (error == asio::error::would_block || error == asio::error::connection_aborted) continue;
    const bool scarce =
        !error && static_cast<std::uint64_t>(client->descriptor()) + kReservedDescriptors >=
                      thread.settings.descriptors;
    if (!error && !scarce) {
      trouble.over();
      start_session(thread, std::move(client));
      continue;
    }
    count(scarce ? EMFILE : error.value());
    if (trouble.may_log(now())) {
      spdlog::warn(
          "cannot accept a client: {}",
          scarce ? "nearly all file descriptors are in use; raise `ulimit -n`" : error.message());
    }
    const bool made_room = make_room(thread);
    if (scarce) {
      if (made_room) {
        start_session(thread, std::move(client));
      } else {
        thread.clients.cap.give();
        asio::co_spawn(thread.net.io.get_executor(), turn_away(thread, std::move(client)), &report);
      }
    }
    co_await sleep(thread.net.io, made_room ? Duration::zero() : trouble.pause());
  }
}

Task<void> stop_accepting(asio::io_context& io, Acceptor& acceptor) {
  drop_first_packets(acceptor);
  do {
    co_await sleep(io, kHandshake);
  } while (has_backlog(acceptor));
  acceptor.close();
}

}  // namespace batchproxy
