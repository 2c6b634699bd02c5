// tests/configs/host_port_test.cc - addresses and engine URLs.
#include "configs/schema/host_port.h"

#include <array>

#include <gtest/gtest.h>
#include <unistd.h>

namespace batchproxy {
namespace {

TEST(ParseHostPort, ReadsAddressesAndNames) {
  EXPECT_EQ(parse_host_port("127.0.0.1:8000"), (HostPort{"127.0.0.1", 8000}));
  EXPECT_EQ(parse_host_port("[::1]:8000"), (HostPort{"::1", 8000}));
  EXPECT_EQ(parse_host_port("node-7.cluster:0"), (HostPort{"node-7.cluster", 0}));
}

TEST(ParseHostPort, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "8000", ":8000", "localhost", "localhost:", "localhost:x",
                           "localhost:65536", "localhost:-1", "127.0.0:8000", "256.0.0.1:8000",
                           "::1:8000", "[node7]:8000", "[::1:8000", "a b:8000", "h/x:80"}) {
    EXPECT_EQ(parse_host_port(text), std::nullopt) << text;
  }
}

TEST(ProblemOfOrigin, TakesWhatBrowsersSend) {
  for (const char* origin :
       {"http://localhost:3000", "https://app.example.org", "http://127.0.0.1:8080", "http://[::1]",
        "http://[::1]:3000", "HTTP://Node7", "https://app.example.org:80", "tauri://localhost",
        "chrome-extension://abcdefghijklmnop"}) {
    EXPECT_EQ(problem_of_origin(origin), "") << origin;
  }
}

TEST(ProblemOfOrigin, SaysWhyNot) {
  const auto says = [](std::string_view origin, std::string_view what) {
    return problem_of_origin(origin).find(what) != std::string::npos;
  };
  EXPECT_TRUE(says("http://localhost:3000/", "write http://localhost:3000"));
  EXPECT_TRUE(says("http://localhost/app?x", "write http://localhost"));
  EXPECT_TRUE(says("http://localhost:80", "write http://localhost"));
  EXPECT_TRUE(says("https://[::1]:443", "write https://[::1]"));
  EXPECT_TRUE(says("https://*.example.org", "name each"));
  for (const char* origin : {"", "null", "localhost:3000", "://localhost", "h ttp://localhost"}) {
    EXPECT_TRUE(says(origin, "expected an origin")) << origin;
  }
  for (const char* origin : {"http://", "http://:80", "http://a b", "http://me@here", "http://h:x",
                             "http://h:70000", "http://h\r\nx: y"}) {
    EXPECT_TRUE(says(origin, "HOST")) << origin;
  }
}

TEST(ToString, IsReadBackAsTheSame) {
  for (const char* text : {"127.0.0.1:8000", "[::1]:8000", "node7:65535"}) {
    EXPECT_EQ(to_string(*parse_host_port(text)), text);
  }
}

TEST(HostPortOf, TakesIpv6WithAndWithoutBrackets) {
  EXPECT_EQ(to_string(host_port_of("::1", 8000)), "[::1]:8000");
  EXPECT_EQ(to_string(host_port_of("[::1]", 8000)), "[::1]:8000");
  EXPECT_EQ(to_string(host_port_of("node7", 8000)), "node7:8000");
}

TEST(IsAddress, TellsAddressesFromNames) {
  for (const char* address : {"127.0.0.1", "::1", "fe80::1%lo"}) EXPECT_TRUE(is_address(address));
  for (const char* name : {"localhost", "node7", "127.0.0.1.example", "[::1]", ""})
    EXPECT_FALSE(is_address(name)) << name;
}

TEST(Overlaps, KnowsThisMachineByItsName) {
  std::array<char, 256> name{};
  ASSERT_EQ(::gethostname(name.data(), name.size() - 1), 0);
  EXPECT_TRUE(overlaps({"0.0.0.0", 8000}, {name.data(), 8000}));
  const std::string full(name.data());
  EXPECT_TRUE(overlaps({"::", 8000}, {full.substr(0, full.find('.')), 8000}));
  EXPECT_FALSE(overlaps({"127.0.0.1", 8000}, {name.data(), 8000}));
  EXPECT_FALSE(overlaps({"0.0.0.0", 8000}, {"another-machine", 8000}));
}

TEST(ParseBackendUrl, TakesHostAndPort) {
  EXPECT_EQ(parse_backend_url("http://node7:8100").address, (HostPort{"node7", 8100}));
  EXPECT_EQ(parse_backend_url("HTTP://node7:8100/").address, (HostPort{"node7", 8100}));
  EXPECT_EQ(parse_backend_url("http://node7").address, (HostPort{"node7", 80}));
  EXPECT_EQ(parse_backend_url("http://[::1]").address, (HostPort{"::1", 80}));
  EXPECT_FALSE(parse_backend_url("http://node7").secured);
  EXPECT_EQ(parse_backend_url("HTTPS://node7:8100/").address, (HostPort{"node7", 8100}));
  EXPECT_EQ(parse_backend_url("https://node7").address, (HostPort{"node7", 443}));
  EXPECT_TRUE(parse_backend_url("https://node7").secured);
}

TEST(ParseBackendUrl, SaysWhyNot) {
  const auto problem = [](std::string_view url) { return parse_backend_url(url).problem; };
  EXPECT_NE(problem("https://node7:0").find("port 0"), std::string::npos);
  EXPECT_NE(problem("http://node7:8100/v1").find("write http://node7:8100"), std::string::npos);
  EXPECT_NE(problem("http://me:secret@node7:8100").find("api_key"), std::string::npos);
  EXPECT_NE(problem("http://node7:0"), "");
  EXPECT_NE(problem("node7:8100"), "");
  EXPECT_NE(problem(""), "");
}

TEST(Overlaps, HoldsForEveryWayToWriteThisMachine) {
  const auto same = [](const char* listen, const char* other) {
    return overlaps(*parse_host_port(listen), *parse_host_port(other));
  };
  EXPECT_TRUE(same("127.0.0.1:8000", "localhost:8000"));
  EXPECT_TRUE(same("0.0.0.0:8000", "127.0.0.1:8000"));
  EXPECT_TRUE(same("[::]:8000", "localhost:8000"));
  EXPECT_TRUE(same("Node7:8000", "node7:8000"));
  EXPECT_FALSE(same("127.0.0.1:8000", "127.0.0.1:8001"));
  EXPECT_FALSE(same("127.0.0.1:8000", "127.0.0.2:8000"));
  EXPECT_FALSE(same("127.0.0.1:8000", "node7:8000"));
  EXPECT_FALSE(same("127.0.0.1:0", "127.0.0.1:0"));
}

TEST(CollectorUrl, LeadsToWhereTracesAreTaken) {
  const auto path = [](std::string_view url) { return parse_collector_url(url).path; };
  EXPECT_EQ(path("http://localhost:4318"), "/v1/traces");
  EXPECT_EQ(path("http://localhost:4318/"), "/v1/traces");
  EXPECT_EQ(path("http://localhost:4318/otlp/"), "/otlp/v1/traces");
  EXPECT_EQ(path("https://c.example/otlp/v1/traces"), "/otlp/v1/traces");
  const CollectorUrl at = parse_collector_url("https://c.example/otlp");
  EXPECT_EQ(to_string(at.address), "c.example:443");
  EXPECT_TRUE(at.secured);
  EXPECT_EQ(at.problem, "");
}

TEST(CollectorUrl, SaysWhatIsWrongWithIt) {
  for (const char* url : {"", "localhost:4318", "grpc://localhost:4317", "http://", "http:///x",
                          "http://a:0", "http://a:99999", "http://user@a:1", "http://a:1/x?y",
                          "http://a:1#z"}) {
    EXPECT_NE(parse_collector_url(url).problem, "") << url;
  }
}

TEST(HeaderPair, IsReadAsOpenTelemetryWritesIt) {
  using Pair = std::pair<std::string, std::string>;
  EXPECT_EQ(parse_header_pair("x-api-key=secret"), Pair("x-api-key", "secret"));
  EXPECT_EQ(parse_header_pair(" authorization = Basic%20YWJj= "),
            Pair("authorization", "Basic YWJj="));
  EXPECT_EQ(parse_header_pair("a=100%"), Pair("a", "100%"));
  EXPECT_EQ(parse_header_pair("a="), Pair("a", ""));
  for (const char* wrong : {"", "a", "=b", " =b", "a b=c", "a:b=c", "a=b%0d%0ac: d", "a=\x01"}) {
    EXPECT_FALSE(parse_header_pair(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace batchproxy
