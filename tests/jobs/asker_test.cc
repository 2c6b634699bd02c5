// tests/jobs/asker_test.cc - questions over real connections, to a server that does as it is told.
#include "proxy/jobs/asker.h"

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
namespace http = boost::beast::http;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, IoExecutor>;
using Socket = asio::basic_stream_socket<asio::ip::tcp, IoExecutor>;

// Its answer to the n-th request with this body; 0: it closes the connection.
using Answer = std::function<unsigned(const std::string& body, int nth)>;

class Server {
 public:
  Server(asio::io_context& io, Answer answer)
      : io_(io),
        answer_(std::move(answer)),
        acceptor_(io.get_executor(), {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(io.get_executor(), accept(), &end_on_error);
  }
  Url url() const { return {"127.0.0.1", std::to_string(acceptor_.local_endpoint().port())}; }
  void close() { acceptor_.close(); }
  // Ends the connections.
  void hang_up() {
    for (Socket* socket : *sockets_) socket->shutdown(Socket::shutdown_both);
  }

  std::map<std::string, int> asked;
  bool garbage = false;
  bool silent = false;  // takes requests, and answers none

 private:
  Task<void> accept() {
    for (;;) {
      Socket socket(io_.get_executor());
      ErrorCode error;
      co_await acceptor_.async_accept(socket, asio::redirect_error(use_task, error));
      if (error) co_return;
      asio::co_spawn(io_.get_executor(), serve(std::move(socket)), &end_on_error);
    }
  }
  Task<void> serve(Socket socket) {
    boost::beast::flat_buffer buffer;
    sockets_->insert(&socket);
    const std::unique_ptr<Socket, std::function<void(Socket*)>> listed(
        &socket, [all = sockets_](Socket* gone) { all->erase(gone); });
    for (;;) {
      ErrorCode error;
      http::request<http::string_body> request;
      co_await http::async_read(socket, buffer, request, asio::redirect_error(use_task, error));
      if (error) co_return;
      const unsigned status = answer_(request.body(), ++asked[request.body()]);
      if (silent) continue;
      if (status == 0) co_return;
      http::response<http::string_body> response(static_cast<http::status>(status), 11);
      response.set("x-batchproxy-backend", "e1");
      response.set("x-batchproxy-batch", "5/8");
      response.body() = garbage ? "<html>"
                                : R"({"usage":{"prompt_tokens":4,"completion_tokens":2},"for":)" +
                                      request.body() + "}";
      response.prepare_payload();
      co_await http::async_write(socket, response, asio::redirect_error(use_task, error));
      if (error) co_return;
    }
  }

  asio::io_context& io_;
  const Answer answer_;
  const std::shared_ptr<std::set<Socket*>> sockets_ =
      std::make_shared<std::set<Socket*>>();  // outlived by frames
  Acceptor acceptor_;
};

class AskerTest : public ::testing::Test {
 protected:
  Asker::Source numbers(int count) {
    return [this, count](std::vector<Question>& into, std::size_t at_most) {
      for (std::size_t i = 0; i < at_most && given_ < count; ++i) {
        const std::string key = std::to_string(given_++);
        into.push_back({key, "/v1/completions", R"({"prompt":")" + key + R"("})", false});
      }
      return given_ < count;
    };
  }
  void ask(Server& server, Asker::Source source, RunLimits limits = {}) {
    const auto record = [this](const std::vector<ItemOutcome>& outcomes) {
      ++groups_;
      if (fails_) throw std::runtime_error("the disk is full");
      for (const ItemOutcome& outcome : outcomes) {
        EXPECT_TRUE(outcomes_.emplace(outcome.key, outcome).second) << outcome.key;
      }
      if (on_group_) on_group_();
    };
    asker_ = std::make_unique<Asker>(io_, AskerSettings{server.url(), {}, limits},
                                     std::move(source), record);
    asio::co_spawn(io_.get_executor(), asker_->run(), [&server, this](std::exception_ptr error) {
      error_ = error;
      server.close();
      io_.stop();
    });
    io_.run_for(20s);
  }

  asio::io_context io_{1};
  std::unique_ptr<Asker> asker_;
  std::map<std::string, ItemOutcome> outcomes_;
  std::function<void()> on_group_;
  std::exception_ptr error_;
  int given_ = 0;
  int groups_ = 0;
  bool fails_ = false;
};

TEST_F(AskerTest, RecordsEveryAnswerOnceInGroups) {
  Server server(io_, [](const std::string&, int) { return 200u; });
  ask(server, numbers(3000));
  ASSERT_EQ(outcomes_.size(), 3000u);
  EXPECT_EQ(asker_->ending(), Asker::Ending::kDone);
  EXPECT_LT(groups_, 1500);
  const ItemOutcome& one = outcomes_.at("7");
  EXPECT_EQ(one.state, ItemState::kAnswered);
  EXPECT_EQ(one.backend, "e1");
  EXPECT_EQ(one.batch, "5/8");
  EXPECT_EQ(one.prompt_tokens, 4);
  EXPECT_EQ(one.completion_tokens, 2);
  EXPECT_NE(one.answer.find(R"({"prompt":"7"})"), std::string::npos);
  EXPECT_LE(one.asked_ms, one.answered_ms);
}

TEST_F(AskerTest, AsksAgainWhatWasLostAndKeepsWhatFailed) {
  Server server(io_, [](const std::string& body, int nth) {
    if (body.find("\"3\"") != std::string::npos) return nth == 1 ? 0u : 200u;
    return body.find("\"5\"") != std::string::npos ? 400u : 200u;
  });
  ask(server, numbers(10));
  ASSERT_EQ(outcomes_.size(), 10u);
  EXPECT_EQ(outcomes_.at("3").state, ItemState::kAnswered);
  EXPECT_EQ(outcomes_.at("3").attempts, 2);
  EXPECT_EQ(outcomes_.at("5").state, ItemState::kFailed);
  EXPECT_EQ(outcomes_.at("5").status, 400u);
}

Task<void> ask_twice(Server& server, HttpClient& client, std::vector<HttpReply>& replies) {
  replies.push_back(co_await client.request("/", "1"));
  server.hang_up();
  replies.push_back(co_await client.request("/", "2"));
  server.close();
}

TEST_F(AskerTest, AKeptConnectionThatHasEndedCostsNoAttempt) {
  Server server(io_, [](const std::string&, int) { return 200u; });
  HttpClient client(io_, server.url());
  std::vector<HttpReply> replies;
  asio::co_spawn(io_.get_executor(), ask_twice(server, client, replies),
                 [this](std::exception_ptr) { io_.stop(); });
  io_.run_for(20s);
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].status, 200u);
  EXPECT_EQ(replies[1].status, 200u) << replies[1].body;
}

TEST_F(AskerTest, ASuccessThatIsNoJsonIsNone) {
  Server server(io_, [](const std::string&, int) { return 200u; });
  server.garbage = true;
  RunLimits limits;
  limits.attempts = 2;
  ask(server, numbers(1), limits);
  EXPECT_EQ(outcomes_.at("0").state, ItemState::kFailed);
  EXPECT_EQ(outcomes_.at("0").attempts, 2);
  EXPECT_EQ(outcomes_.at("0").answer, "the answer is no JSON");
}

TEST_F(AskerTest, AStopRecordsWhatIsInFlight) {
  Server server(io_, [](const std::string&, int) { return 200u; });
  on_group_ = [this] { asker_->stop(); };
  RunLimits limits;
  limits.in_flight = 16;
  ask(server, numbers(100'000), limits);
  EXPECT_EQ(asker_->ending(), Asker::Ending::kStopped);
  EXPECT_FALSE(error_);
  EXPECT_EQ(outcomes_.size(), server.asked.size()) << "all that was asked is recorded";
}

TEST_F(AskerTest, AnAbandonedRunEndsAtOnce) {
  Server server(io_, [this](const std::string&, int) {
    if (given_ > 0) asio::post(io_.get_executor(), [this] { asker_->abandon(); });
    return 200u;
  });
  server.silent = true;
  ask(server, numbers(100));
  EXPECT_EQ(asker_->ending(), Asker::Ending::kStopped);
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_EQ(asker_->in_flight(), 0u);
}

TEST_F(AskerTest, WhatTheLedgerThrowsEndsTheRunAndItsConnections) {
  Server server(io_, [](const std::string&, int) { return 200u; });
  fails_ = true;
  ask(server, numbers(100'000));
  ASSERT_TRUE(error_);
  EXPECT_THROW(std::rethrow_exception(error_), std::runtime_error);
  EXPECT_EQ(asker_->in_flight(), 0u);
}

TEST_F(AskerTest, GoesOnAtAnotherAddress) {
  Server first(io_, [](const std::string&, int) { return 0u; });
  Server second(io_, [](const std::string&, int) { return 200u; });
  asio::post(io_.get_executor(), [&] {
    first.close();
    asker_->move_to(second.url());
  });
  const auto source = numbers(100);
  ask(second, source);
  EXPECT_EQ(outcomes_.size(), 100u);
}

TEST_F(AskerTest, GivesUpWithoutAProxy) {
  Server server(io_, [](const std::string&, int) { return 200u; });
  server.close();
  RunLimits limits;
  limits.patience = 1s;
  // The port belongs to nobody.
  const auto record = [](const std::vector<ItemOutcome>&) {};
  Acceptor taken(io_.get_executor(), {asio::ip::address_v4::loopback(), 0});
  const std::string port = std::to_string(taken.local_endpoint().port());
  taken.close();
  Asker asker(io_, AskerSettings{{"127.0.0.1", port}, {}, limits}, numbers(10), record);
  asio::co_spawn(io_.get_executor(), asker.run(), &end_on_error);
  io_.run_for(20s);
  EXPECT_EQ(asker.ending(), Asker::Ending::kGaveUp);
  EXPECT_NE(asker.trouble().find("cannot connect"), std::string::npos);
}

}  // namespace
}  // namespace batchproxy
