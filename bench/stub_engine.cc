// bench/stub_engine.cc - a backend that costs next to nothing, for measuring what is before it.
//
//   stub_engine [PORTS]    listens on that many ports (1) and prints them
//
// One thread; the same small answer to everything, one choice for each prompt; a stream is 16
// events 1 ms apart. GET /stats tells how many requests and prompts have come. What it is sent is
// taken to be well formed: it is asked by programs that we know.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include <strings.h>

#include "bench/loopback.h"

namespace batchproxy {
namespace {

using namespace loopback;
using Clock = std::chrono::steady_clock;
using std::string_view;

constexpr int kEvents = 16;
constexpr auto kGap = std::chrono::milliseconds(1);

// --- JSON, as far as it matters here: each function takes something from the front of `text`.

void skip_space(string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

bool take(string_view& text, char c) {
  skip_space(text);
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// What stands between the quotes.
string_view take_string(string_view& text) {
  std::size_t end = 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  const string_view inside = text.substr(1, end - 1);
  text.remove_prefix(std::min(end + 1, text.size()));
  return inside;
}

// Any value, as it stands.
string_view take_value(string_view& text) {
  skip_space(text);
  const string_view all = text;
  int depth = 0;
  do {
    if (text.starts_with('"')) {
      take_string(text);
      continue;
    }
    if (text.starts_with('{') || text.starts_with('[')) {
      ++depth;
    } else if (text.starts_with('}') || text.starts_with(']')) {
      --depth;
    } else if (depth == 0) {  // a number, true, false or null
      text.remove_prefix(std::min(text.find_first_of(" \t\r\n,}]"), text.size()));
      break;
    }
    text.remove_prefix(std::min<std::size_t>(1, text.size()));
  } while (depth > 0 && !text.empty());
  return all.substr(0, all.size() - text.size());
}

// How many prompts `prompt` is: a text or a list of token numbers is one.
int count_prompts(string_view prompt) {
  if (!take(prompt, '[')) return 1;
  skip_space(prompt);
  if (prompt.starts_with(']')) return 0;
  if (!prompt.starts_with('"') && !prompt.starts_with('[')) return 1;
  int count = 0;
  do {
    take_value(prompt);
    ++count;
  } while (take(prompt, ','));
  return count;
}

struct Asked {
  int prompts = 1;
  bool stream = false;
};

Asked read_body(string_view body) {
  Asked asked;
  if (!take(body, '{')) return asked;
  do {
    skip_space(body);
    if (!body.starts_with('"')) break;
    const string_view key = take_string(body);
    if (!take(body, ':')) break;
    const string_view value = take_value(body);
    if (key == "prompt") asked.prompts = count_prompts(value);
    if (key == "stream") asked.stream = value == "true";
  } while (take(body, ','));
  return asked;
}

// --- HTTP

// The value of a header field, or nothing.
string_view field(string_view head, string_view name) {
  for (auto at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
    string_view line = head.substr(at + 2);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    line.remove_prefix(name.size() + 1);
    skip_space(line);
    return line.substr(0, line.find("\r\n"));
  }
  return {};
}

std::string reply(string_view body, string_view status = "200 OK") {
  return std::string("HTTP/1.1 ")
      .append(status)
      .append("\r\nserver: stub\r\ncontent-type: application/json\r\ncontent-length: ")
      .append(std::to_string(body.size()))
      .append("\r\n\r\n")
      .append(body);
}

std::string chunk(string_view data) {
  std::array<char, 16> size;
  std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
  return std::string(size.data()).append(data).append("\r\n");
}

std::string answer(bool chat, int prompts) {
  std::string body =
      chat
          ? R"({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","choices":[)"
          : R"({"id":"cmpl-1","object":"text_completion","created":1,"model":"stub","choices":[)";
  for (int i = 0; i < prompts; ++i) {
    body += (i == 0 ? "{\"index\":" : ",{\"index\":") + std::to_string(i);
    body +=
        chat
            ? R"(,"message":{"role":"assistant","content":"B"},"logprobs":null,"finish_reason":"stop"})"
            : R"(,"text":" B","logprobs":null,"finish_reason":"length"})";
  }
  return body + R"(],"usage":{"prompt_tokens":)" + std::to_string(64 * prompts) +
         R"(,"completion_tokens":)" + std::to_string(prompts) + R"(,"total_tokens":)" +
         std::to_string(65 * prompts) + "}}";
}

struct Connection {
  int fd = -1;
  bool listens = false;
  bool closing = false;        // once what is unsent has gone
  bool waits_to_send = false;  // and reads nothing until then
  int events_left = 0;         // of a stream; its connection is answered nothing else until then
  std::string unread = {};     // the beginning of a request
  std::string unsent = {};
};

class Stub {
 public:
  [[noreturn]] void run(int ports) {
    for (int i = 0; i < ports; ++i) add(listen_somewhere(), true);
    std::array<epoll_event, 512> events;
    for (;;) {
      const int count = wait(events);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        auto& connection = *static_cast<Connection*>(event.data.ptr);
        if (connection.listens) {
          if (const int fd = accept_next(connection.fd); fd >= 0) add(fd, false);
        } else if ((event.events & EPOLLOUT) != 0) {
          send_unsent(connection);
        } else {
          read(connection);
        }
      }
      stream();
    }
  }

 private:
  struct Due {
    Clock::time_point when;
    Connection* connection;
  };

  // Until something comes or the next event of a stream is due.
  int wait(std::array<epoll_event, 512>& events) {
    timespec patience{};
    if (!streams_.empty()) {
      const auto left =
          std::max<Clock::duration>(streams_.front().when - Clock::now(), Clock::duration(0));
      patience.tv_nsec = std::chrono::nanoseconds(left).count();  // kGap at most
    }
    return epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()),
                        streams_.empty() ? nullptr : &patience, nullptr);
  }

  void add(int fd, bool listens) {
    auto* added = new Connection{fd, listens};  // deleted by finish()
    watch(epoll_, EPOLL_CTL_ADD, fd, EPOLLIN, added);
  }

  void finish(Connection& connection) {
    close(connection.fd);
    connection.fd = -1;
    if (connection.events_left == 0) delete &connection;  // else stream() does, which still has it
  }

  void read(Connection& connection) {
    const ssize_t got = recv(connection.fd, buffer_.data(), buffer_.size(), 0);
    if (got < 0 && would_block()) return;
    if (got <= 0) return finish(connection);
    connection.unread.append(buffer_.data(), static_cast<std::size_t>(got));
    answer_requests(connection);
  }

  void answer_requests(Connection& connection) {
    string_view unread = connection.unread;
    while (connection.events_left == 0) {
      const auto head_end = unread.find("\r\n\r\n");
      if (head_end == string_view::npos) break;
      const string_view head = unread.substr(0, head_end + 2);
      const auto length =
          static_cast<std::size_t>(std::atol(std::string(field(head, "content-length")).c_str()));
      if (unread.size() < head.size() + 2 + length) break;
      connection.closing = field(head, "connection") == "close";
      answer_one(connection, head, unread.substr(head.size() + 2, length));
      unread.remove_prefix(head.size() + 2 + length);
    }
    connection.unread.erase(0, connection.unread.size() - unread.size());
    if (!connection.unsent.empty()) send_unsent(connection);
  }

  void answer_one(Connection& connection, string_view head, string_view body) {
    const string_view line = head.substr(0, head.find(" HTTP/"));
    const bool chat = line == "POST /v1/chat/completions";
    if (chat || line == "POST /v1/completions") {
      const Asked asked = read_body(body);
      ++requests_;
      prompts_ += asked.prompts;
      if (asked.stream) {
        connection.unsent +=
            "HTTP/1.1 200 OK\r\nserver: stub\r\ncontent-type: "
            "text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        connection.events_left = kEvents + 1;  // and [DONE]
        streams_.push_back({Clock::now() + kGap, &connection});
      } else {
        connection.unsent += asked.prompts == 1 ? (chat ? chat_answer_ : text_answer_)
                                                : reply(answer(chat, asked.prompts));
      }
    } else if (line == "GET /health") {
      connection.unsent += reply("");
    } else if (line == "GET /stats") {
      connection.unsent += reply("{\"requests\":" + std::to_string(requests_) +
                                 ",\"prompts\":" + std::to_string(prompts_) + "}");
    } else if (line == "GET /v1/models") {
      connection.unsent +=
          reply(R"({"object":"list","data":[{"id":"stub","object":"model","owned_by":"bench"}]})");
    } else if (line == "GET /openapi.json") {
      connection.unsent += reply(R"({"openapi":"3.1.0","paths":{},"components":{"schemas":{}}})");
    } else if (line == "GET /metrics") {
      connection.unsent += reply("vllm:num_requests_running " + std::to_string(streams_.size()) +
                                 "\nvllm:num_requests_waiting 0\nvllm:num_preemptions_total 0\n"
                                 "vllm:iteration_tokens_total_count " +
                                 std::to_string(requests_) + "\n");
    } else {
      connection.unsent +=
          reply(R"({"error":{"message":"the stub has no such page"}})", "404 Not Found");
    }
  }

  // Sends what is due of all streams. Each waits the same, so they are due in the order of the
  // queue.
  void stream() {
    if (streams_.empty()) return;
    const auto now = Clock::now();
    while (!streams_.empty() && streams_.front().when <= now) {
      Connection& connection = *streams_.front().connection;
      streams_.pop_front();
      if (connection.fd < 0) {
        delete &connection;
        continue;
      }
      if (--connection.events_left > 0) {
        connection.unsent += event_;
        streams_.push_back({now + kGap, &connection});
        send_unsent(connection);
      } else {
        connection.unsent += last_event_;
        answer_requests(connection);  // and what came behind it
      }
    }
  }

  void send_unsent(Connection& connection) {
    const ssize_t sent =
        send(connection.fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
    if (sent < 0 && !would_block()) return finish(connection);
    const bool waited = std::exchange(connection.waits_to_send, false);
    if (sent > 0) connection.unsent.erase(0, static_cast<std::size_t>(sent));
    connection.waits_to_send = !connection.unsent.empty();
    if (connection.waits_to_send != waited) {
      watch(epoll_, EPOLL_CTL_MOD, connection.fd, connection.waits_to_send ? EPOLLOUT : EPOLLIN,
            &connection);
    }
    if (connection.unsent.empty() && connection.closing && connection.events_left == 0)
      finish(connection);
  }

  const int epoll_ = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create");
  const std::string chat_answer_ = reply(answer(true, 1));
  const std::string text_answer_ = reply(answer(false, 1));
  const std::string event_ = chunk(
      "data: "
      "{\"id\":\"cmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"stub\","
      "\"choices\":"
      "[{\"index\":0,\"delta\":{\"content\":\"B\"},\"finish_reason\":null}]}\n\n");
  const std::string last_event_ = chunk("data: [DONE]\n\n") + "0\r\n\r\n";
  std::int64_t requests_ = 0;
  std::int64_t prompts_ = 0;
  std::deque<Due> streams_;
  std::array<char, 1 << 18> buffer_;
};

}  // namespace
}  // namespace batchproxy

int main(int argc, char** argv) {
  const int ports = argc > 1 ? std::atoi(argv[1]) : 1;
  if (argc > 2 || ports < 1) {
    std::fputs("usage: stub_engine [PORTS]\n", stderr);
    return 2;
  }
  static batchproxy::Stub stub;  // its buffer is too much for a stack
  stub.run(ports);
}
