// tests/fuzz/response_fuzz.cc - a backend's answer, read by the real UpstreamCall and BodyReader
// over a socket: the same bytes give the same result however they come, and no byte too many
// leaves a connection in use.
//
// Input: what to do (see Plan), a length, the number of cuts, two bytes for each, and the bytes of
// the answer. The backend closes behind them.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/call/upstream_call.h"

namespace {

using namespace batchproxy;
using Cuts = std::vector<std::size_t>;

constexpr std::uint64_t kLimit = 300;  // of a body that a BodyReader reads; small, to get there

void require(bool truth) {
  if (!truth) std::abort();
}

struct Plan {
  explicit Plan(std::uint8_t bits) : streaming(bits & 1), body_only(bits & 2) {
    framing.chunked = (bits & 12) == 4;
    if ((bits & 12) == 8) framing.content_length = 0;
    otherwise = bits & 16 ? http::NoFraming::kEmpty : http::NoFraming::kUntilClose;
  }
  bool streaming;  // piece by piece
  bool body_only;  // the bytes are a body that is framed like this
  http::Framing framing{};
  http::NoFraming otherwise;
};

struct ReadOutcome {
  bool done = false;
  bool before_the_end = false;  // done without having seen the connection's end
  bool reusable = false;
  int failure = 0;
  unsigned status = 0;
  std::string fields;
  std::string body;
  bool operator==(const ReadOutcome&) const = default;
};

struct World {
  World() { endpoint.authority = "b:1"; }

  asio::io_context io;
  DeadlineQueue deadlines{io};
  Poller poller{io};
  BufferPool buffers;
  http::ResponseHead scratch;
  std::string text;
  Endpoint endpoint;  // it has no address

  void run() {
    io.restart();
    while (io.poll() > 0) {
    }
  }
};

World& world() {
  static World* one = new World;  // never destroyed: sockets of a failed run may still hang on it
  return *one;
}

// The proxy's end is a Connection, the backend's a plain socket.
class Wire {
 public:
  Wire() {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    connection = std::make_shared<Connection>(world().poller, world().deadlines);
    require(!connection->start(ends[0]));
    backend_ = ends[1];
  }
  ~Wire() { ::close(backend_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // False once the proxy has hung up, or reads no more.
  bool send(std::string_view bytes) const {
    const auto sent = ::send(backend_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent == static_cast<ssize_t>(bytes.size());
  }
  void end() const { ::shutdown(backend_, SHUT_WR); }

  Connection::Ptr connection;

 private:
  int backend_;
};

Task<void> drive(UpstreamCall& call, bool streaming, ReadOutcome& out) {
  UpstreamRequest request;
  request.method = "POST";
  request.target = "/";
  CallFailure failure = co_await call.start(request);
  if (failure == CallFailure::kNone) {
    const AnswerHead& head = call.head();
    out.status = head.status;
    out.fields.append(head.content_type).append("|").append(head.content_encoding);
    out.fields.append("|").append(head.retry_after);
  }
  if (failure == CallFailure::kNone && !streaming) {
    failure = co_await call.read_whole();
    if (failure == CallFailure::kNone) out.body = call.body();
  }
  while (failure == CallFailure::kNone && streaming) {
    while (call.must_wait(std::chrono::hours(1))) co_await call.wait();
    const auto piece = call.piece();
    if (!piece) failure = call.failure();
    if (!piece) require(failure != CallFailure::kNone);
    if (!piece || piece->empty()) break;
    out.body += *piece;
  }
  out.failure = static_cast<int>(failure);
  out.done = true;
}

Task<void> drive(Connection& connection, const Plan& plan, ReadOutcome& out) {
  Buffer in = world().buffers.take();
  in.append("head");
  const std::size_t room = in.capacity();
  std::size_t pos = in.size();
  {
    http::BodyReader reader(connection, world().buffers, in, pos, plan.framing, plan.otherwise,
                            kLimit);
    http::BodyStatus status = http::BodyStatus::kWhole;
    if (!plan.streaming) {
      status = co_await reader.read_whole();
      if (status == http::BodyStatus::kWhole) out.body = reader.body().view;
      require(reader.body().view.size() <= kLimit);
    }
    while (plan.streaming) {
      const auto piece = co_await reader.next_piece();
      status = reader.status();
      require(piece.has_value() == (status == http::BodyStatus::kWhole));
      if (!piece || piece->empty()) break;
      out.body += *piece;
    }
    out.failure = static_cast<int>(status);
  }
  require(pos <= in.size() && in.capacity() == room && in.view().starts_with("head"));
  world().buffers.give_back(std::move(in));
  out.done = true;
}

void feed(const Wire& wire, std::string_view bytes, const Cuts& cuts, ReadOutcome& out) {
  std::size_t from = 0;
  bool open = true;
  for (std::size_t i = 0; i <= cuts.size() && open; ++i) {
    const std::size_t to = i < cuts.size() ? cuts[i] : bytes.size();
    if (to > from) open = wire.send(bytes.substr(from, to - from));
    from = to;
    world().run();
  }
  out.before_the_end = out.done;
}

void end(const Wire& wire, ReadOutcome& out) {
  wire.end();
  world().run();
  require(out.done);
}

ReadOutcome answer(std::string_view bytes, const Cuts& cuts, bool streaming) {
  World& w = world();
  ReadOutcome out;
  ConnectionPool pool(w.poller, w.deadlines, std::chrono::seconds(1));
  pool.set(std::make_shared<const Endpoint>(w.endpoint));
  Wire wire;
  pool.give_back(0, std::move(wire.connection));
  {
    UpstreamCall call({pool, w.buffers, w.scratch, w.text}, 0, TimePoint::max());
    asio::co_spawn(w.io.get_executor(), drive(call, streaming, out), asio::detached);
    w.run();
    feed(wire, bytes, cuts, out);
    if (!out.done) end(wire, out);
  }
  w.run();
  if (const Connection::Ptr kept = pool.take_idle(0)) {
    out.reusable = true;
    kept->close();
    w.run();
  }
  // What is kept was answered to the end, and needed no end of the connection to know that.
  if (out.reusable) require(out.failure == 0 && out.before_the_end);
  if (out.failure == 0) require(out.status >= 200 && out.status < 600);
  if (out.status == 204 || out.status == 304) require(out.body.empty());
  return out;
}

ReadOutcome body(std::string_view bytes, const Cuts& cuts, const Plan& plan) {
  ReadOutcome out;
  Wire wire;
  asio::co_spawn(world().io.get_executor(), drive(*wire.connection, plan, out), asio::detached);
  world().run();
  feed(wire, bytes, cuts, out);
  if (!out.done) end(wire, out);
  wire.connection->close();
  world().run();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::size_t count = size > 2 ? data[2] % 8 : 0;
  const std::size_t begin = 3 + 2 * count;
  if (size <= begin) return 0;
  Plan plan(data[0]);
  if (plan.framing.content_length) plan.framing.content_length = 2u * data[1];
  const std::string_view bytes(reinterpret_cast<const char*>(data + begin), size - begin);
  Cuts cuts, fine;
  for (std::size_t i = 3; i < begin; i += 2) {
    cuts.push_back((std::size_t{data[i]} * 256 + data[i + 1]) % (bytes.size() + 1));
  }
  std::ranges::sort(cuts);
  // Byte by byte where that does not take long.
  const std::size_t step = bytes.size() / 128 + 1;
  for (std::size_t i = step; i < bytes.size(); i += step) fine.push_back(i);

  if (plan.body_only) {
    const ReadOutcome whole = body(bytes, {}, plan);
    require(body(bytes, cuts, plan) == whole);
    require(body(bytes, fine, plan) == whole);
    return 0;
  }
  const ReadOutcome whole = answer(bytes, {}, plan.streaming);
  require(answer(bytes, cuts, plan.streaming) == whole);
  require(answer(bytes, fine, plan.streaming) == whole);
  if (!whole.reusable) return 0;
  // One byte more, with the answer or behind it, is the end of the connection and changes nothing.
  ReadOutcome refused = whole;
  refused.reusable = false;
  const std::string more = std::string(bytes) + "H";
  require(answer(more, {}, plan.streaming) == refused);
  require(answer(more, {bytes.size()}, plan.streaming) == refused);
  return 0;
}
