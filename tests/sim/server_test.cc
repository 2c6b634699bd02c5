// tests/sim/server_test.cc - the simulated server over real sockets.
#include "backends/sim/server.h"

#include <atomic>
#include <future>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

SimServerOptions options() {
  SimServerOptions options;
  options.limits = {256, 2048, 1000, true};
  options.api.model = "m";
  options.api.served_names = {"m"};
  options.api.answer_mode = AnswerMode::kSha256;
  options.time_scale = 0.001;
  options.end = [](int) {};
  return options;
}

class RunningServer {
 public:
  explicit RunningServer(SimServerOptions given) : server_(std::move(given)) {
    std::promise<void> loaded;
    auto ready = loaded.get_future();
    thread_ = std::thread([this, &loaded] {
      server_.run({{std::chrono::seconds(0), [&loaded] { loaded.set_value(); }}});
    });
    ready.wait();
  }
  ~RunningServer() {
    server_.stop();
    thread_.join();
  }

  std::uint16_t port() const { return server_.port(); }

 private:
  SimServer server_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(io_) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
  }

  void send(const std::string& method, const std::string& target, const std::string& body) {
    const std::string request = method + " " + target +
                                " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                                "Content-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    asio::write(socket_, asio::buffer(request));
  }

  // Everything up to and including `end`; what there is when the server closes before.
  std::string read_to(const std::string& end) {
    boost::system::error_code error;
    const std::size_t size = asio::read_until(socket_, asio::dynamic_buffer(received_), end, error);
    const std::string text = received_.substr(0, error ? received_.size() : size);
    received_.erase(0, text.size());
    return text;
  }

  std::string exchange(const std::string& method, const std::string& target,
                       const std::string& body = {}) {
    send(method, target, body);
    const std::string head = read_to("\r\n\r\n");
    const std::size_t at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    const std::size_t length = std::stoul(head.substr(at + 16));
    boost::system::error_code error;
    if (received_.size() < length) {
      asio::read(socket_, asio::dynamic_buffer(received_),
                 asio::transfer_exactly(length - received_.size()), error);
    }
    const std::string text = head + received_.substr(0, length);
    received_.erase(0, length);
    return text;
  }

  bool closed_by_server() {
    char byte = 0;
    boost::system::error_code error;
    socket_.read_some(asio::buffer(&byte, 1), error);
    return error == asio::error::eof || error == asio::error::connection_reset;
  }

 private:
  asio::io_context io_;
  tcp::socket socket_;
  std::string received_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Asks again until the page says so; the test's own time limit is the bound.
void wait_for_metric(Client& client, const std::string& line) {
  while (!has(client.exchange("GET", "/metrics"), line)) std::this_thread::yield();
}

TEST(SimServer, AnswersSeveralRequestsOverOneConnection) {
  RunningServer server(options());
  Client client(server.port());
  for (int i = 0; i < 3; ++i) {
    const std::string answer = client.exchange("POST", "/v1/completions", R"({"prompt":"abc"})");
    EXPECT_TRUE(has(answer, "HTTP/1.1 200 OK"));
    EXPECT_TRUE(has(answer, R"("text":"ba7816bf8f01cfea")")) << answer;
  }
}

TEST(SimServer, StreamsServerSentEvents) {
  RunningServer server(options());
  Client client(server.port());
  client.send("POST", "/v1/completions", R"({"prompt":"abc","stream":true})");
  const std::string answer = client.read_to("\r\n0\r\n\r\n");
  EXPECT_TRUE(has(answer, "text/event-stream"));
  EXPECT_TRUE(has(answer, "data: [DONE]"));
  EXPECT_TRUE(has(client.exchange("GET", "/health"), "200 OK"));
}

TEST(SimServer, ClosesAnIdleConnectionAfterItsKeepAliveTime) {
  SimServerOptions brief = options();
  brief.keep_alive = std::chrono::milliseconds(20);
  RunningServer server(std::move(brief));
  Client client(server.port());
  client.exchange("GET", "/health");
  EXPECT_TRUE(client.closed_by_server());
}

TEST(SimServer, ADisconnectedClientsRequestLeavesTheEngine) {
  SimServerOptions slow = options();
  slow.time_scale = 1;
  RunningServer server(std::move(slow));
  Client watcher(server.port());
  {
    Client leaving(server.port());
    leaving.send("POST", "/v1/completions",
                 R"({"prompt":"abc","max_tokens":4000,"ignore_eos":true})");
    wait_for_metric(watcher, "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 1\n");
  }
  wait_for_metric(watcher, "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0\n");
}

TEST(SimServer, AHangingEngineStillSaysItIsHealthyAndGoesOnWhenReleased) {
  RunningServer server(options());
  Client admin(server.port());
  Client client(server.port());
  EXPECT_TRUE(has(admin.exchange("POST", "/sim/fault", R"({"mode":"hang"})"), "hang"));
  client.send("POST", "/v1/completions", R"({"prompt":"abc"})");
  EXPECT_TRUE(has(admin.exchange("GET", "/health"), "200 OK"));
  EXPECT_TRUE(has(admin.exchange("POST", "/sim/fault", R"({"mode":"none"})"), "none"));
  EXPECT_TRUE(has(client.read_to("ba7816bf8f01cfea"), "200 OK"));
}

TEST(SimServer, CrashesAtTheNthCallWithoutAnAnswer) {
  std::atomic<int> crashes = 0;
  SimServerOptions fragile = options();
  fragile.crash_after = 2;
  fragile.end = [&crashes](int code) { crashes += code; };
  RunningServer server(std::move(fragile));
  Client client(server.port());
  EXPECT_TRUE(has(client.exchange("POST", "/v1/completions", R"({"prompt":"abc"})"), "200 OK"));
  client.send("POST", "/v1/completions", R"({"prompt":"abc"})");
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_EQ(crashes, 1);
}

TEST(SimServer, DiesAsVllmDoesTellingAllByA500AndThenEnding) {
  std::atomic<int> ends = 0;
  SimServerOptions fragile = options();
  fragile.end = [&ends](int code) { ends += code == 0 ? 1 : 100; };
  RunningServer server(std::move(fragile));
  Client admin(server.port());
  Client waiting(server.port());
  EXPECT_TRUE(has(admin.exchange("POST", "/sim/fault", R"({"mode":"hang"})"), "hang"));
  waiting.send("POST", "/v1/completions", R"({"prompt":"abc"})");
  const auto killer = admin.exchange("POST", "/v1/completions", R"({"prompt":"@@die@@"})");
  EXPECT_TRUE(has(killer, "500 Internal Server Error"));
  EXPECT_TRUE(has(waiting.read_to("\"code\":500}}"), "EngineCore encountered an issue"));
  EXPECT_TRUE(has(admin.exchange("GET", "/health"), "503"));
}

TEST(SimServer, RefusesMalformedHttp) {
  RunningServer server(options());
  Client client(server.port());
  client.send("GET", "bad target with blanks", "");
  EXPECT_TRUE(has(client.read_to("received."), "400 Bad Request"));
  EXPECT_TRUE(client.closed_by_server());
}

TEST(SimServer, RefusesConnectionsUntilItHasLoaded) {
  SimServer server(options());
  asio::io_context io;
  tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect({asio::ip::address_v4::loopback(), server.port()}, error);
  EXPECT_EQ(error, asio::error::connection_refused);
}

TEST(SimServer, ATakenPortIsAnErrorAtOnce) {
  RunningServer first(options());
  SimServerOptions same = options();
  same.port = first.port();
  try {
    const SimServer second(std::move(same));
    FAIL();
  } catch (const boost::system::system_error& error) {
    EXPECT_EQ(error.code(), asio::error::address_in_use);
  }
}

}  // namespace
}  // namespace batchproxy::sim
